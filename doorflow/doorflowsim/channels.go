package doorflowsim

import (
	"net/http"
	"slices"
	"strconv"
)

// A door is either locked, and lets people in one by one, or unlocked for everybody.
const (
	modeNormal = "normal"
	modeUnlock = "unlock"
)

func (a *account) channel(id int64) *Channel {
	i := slices.IndexFunc(a.channels, func(ch *Channel) bool { return int64(ch.ID) == id })
	if i < 0 {
		return nil
	}
	return a.channels[i]
}

func (ch *Channel) setMode(mode string, relock *Time, now Time) {
	ch.Mode = channelMode{Description: mode, RelockAt: relock, ChangeStamp: &now}
	ch.UpdatedAt = now
}

// channel finds the channel of the path and locks it again if its time has come.
func (c *call) channel() *Channel {
	ch := c.account.channel(c.id("id"))
	if ch != nil && ch.Mode.RelockAt != nil && !c.now.Before(ch.Mode.RelockAt.Time) {
		ch.setMode(modeNormal, nil, *ch.Mode.RelockAt)
	}
	return ch
}

func listChannels(c *call) reply {
	site, filtered := c.query.Get("site_id"), c.query.Has("site_id")
	var found []*Channel
	for _, ch := range c.account.channels {
		if !filtered || strconv.Itoa(ch.SiteID) == site {
			found = append(found, ch)
		}
	}
	return paged(c, paging{"per_page", 500, 1000}, found)
}

func getChannel(c *call) reply {
	if ch := c.channel(); ch != nil {
		return ok(ch)
	}
	return notFound()
}

func unlockChannel(c *call) reply {
	ch := c.channel()
	if ch == nil {
		return notFound()
	}
	var in struct {
		RelockAt *Time `json:"relock_at"`
	}
	if len(c.body) > 0 {
		if err := c.decode("", &in); err != nil {
			return badBody()
		}
	}
	if ch.Status != "online" {
		return reply{status: http.StatusBadRequest, body: ch}
	}
	ch.setMode(modeUnlock, in.RelockAt, c.now)
	return ok(ch)
}

func normalChannel(c *call) reply {
	ch := c.channel()
	if ch == nil {
		return notFound()
	}
	if ch.Status != "online" {
		return reply{status: http.StatusBadRequest, body: ch}
	}
	ch.setMode(modeNormal, nil, c.now)
	return ok(ch)
}

// lockdownChannel locks everything when the body does not say what.
func lockdownChannel(c *call) reply {
	ch := c.channel()
	if ch == nil {
		return notFound()
	}
	in := struct {
		Card *bool `json:"card_lockdown"`
		REX  *bool `json:"rex_lockdown"`
		AUX  *bool `json:"aux_lockdown"`
	}{}
	if len(c.body) > 0 {
		if err := c.decode("", &in); err != nil {
			return badBody()
		}
	}
	on := func(b *bool) lockdownPart { return lockdownPart{State: b == nil || *b} }
	ch.Lockdown = &lockdown{Message: "Locked down", Card: on(in.Card), REX: on(in.REX), AUX: on(in.AUX)}
	ch.UpdatedAt = c.now
	return ok(ch)
}

func unlockdownChannel(c *call) reply {
	ch := c.channel()
	if ch == nil {
		return notFound()
	}
	ch.Lockdown, ch.UpdatedAt = nil, c.now
	return ok(ch)
}
