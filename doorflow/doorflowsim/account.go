package doorflowsim

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// syncInterval is the documented usual wait between two syncs.
const syncInterval = 30 * time.Second

func getAccount(c *call) reply {
	a := c.account
	var id any = a.id
	if c.sim.faults.integerAccountID() {
		id = a.number
	}
	var lastSync *Time
	if !a.lastSync.IsZero() {
		lastSync = &Time{a.lastSync}
	}
	return ok(map[string]any{
		"id": id, "name": a.name, "time_zone": a.timeZone, "monitored": false, "reseller": nil,
		"sync":     map[string]any{"status": "complete", "last_sync": lastSync, "description": nil},
		"user":     map[string]any{"id": a.owner, "first_name": "Sim", "last_name": "Owner", "email": "owner@example.test"},
		"passport": map[string]bool{"remote_unlock_enabled": true, "hid_mobile_access": false},
	})
}

func listGroups(c *call) reply { return unpaged(c.account.groups) }

func listRoles(c *call) reply { return unpaged(c.account.roles) }

func listSites(c *call) reply { return paged(c, paging{"per_page", 500, 1000}, c.account.sites) }

func listCredentialTypes(c *call) reply {
	return paged(c, paging{"per_page", 500, 1000}, c.account.types)
}

// startSync pushes credentials to the doors, which take them at once here. Only its rate limit matters.
func startSync(c *call) reply {
	a := c.account
	if wait := a.lastSync.Add(syncInterval).Sub(c.now.Time); wait > 0 {
		c.sim.counts.add(func(s *Stats) { s.RateLimited++ })
		return limited(int(math.Ceil(wait.Seconds())))
	}
	a.lastSync = c.now.Time
	for _, ch := range a.channels {
		if ch.Status == "online" {
			ch.Sync.LastSyncCompleted = &c.now
		}
	}
	return done()
}

func limited(retryIn int) reply {
	return reply{status: http.StatusTooManyRequests, body: map[string]any{
		"error": "rate_limited", "description": "Please wait " + strconv.Itoa(retryIn) + " seconds", "retry_in": retryIn,
	}}
}
