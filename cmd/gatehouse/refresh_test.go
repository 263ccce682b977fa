package main_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb/sqldbtest"
)

// DoorFlow turns both tokens over with every refresh: two refreshes for one expiry would lose the connection.
func TestExpiredTokenIsRefreshedOnce(t *testing.T) {
	t.Parallel()
	t.Run("one process", func(t *testing.T) {
		g := newGateway(t, nil)
		refreshOnce(t, newCloud(t, g), g)
	})
	t.Run("two processes", func(t *testing.T) {
		database := sqldbtest.PostgresURL(t)
		replicas := shared(t, database, newNATS(t), 2)
		df := newCloud(t, replicas[0])
		for _, name := range []string{"GATEHOUSE_DOORFLOW_API_URL", "GATEHOUSE_DOORFLOW_AUTHORIZE_URL"} {
			replicas[1].env[name] = replicas[0].env[name]
		}
		refreshOnce(t, df, replicas...)
	})
}

func refreshOnce(t *testing.T, df *cloud, replicas ...*gateway) {
	t.Helper()
	const account, count = doorflowsim.AccountA, 100
	for _, g := range replicas {
		g.start()
	}
	df.connected(replicas[0])
	for _, g := range replicas {
		g.awaitConnection(account, "active")
	}
	specs := make([]doorflowsim.EventSpec, count)
	for i := range specs {
		specs[i] = doorflowsim.EventSpec{Code: 10, ChannelID: 5012, PersonID: 4821, NoWebhook: true}
	}
	events := df.EmitBatch(account, specs)
	df.ExpireAccessTokens(account)
	// The simulator takes its time, so that all that need a new token come while one is being fetched.
	df.Faults().SlowToken(200 * time.Millisecond)
	var senders sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for i, e := range events {
		senders.Go(func() {
			hook := "[" + notification(df.url, account, fmt.Sprint(e.ID), fmt.Sprintf("Arefresh%04d", i)) + "]"
			if status, _, err := post(t.Context(), client, replicas[i%len(replicas)].url, hook); status != http.StatusOK || err != nil {
				t.Errorf("webhook %d: %d %v", i, status, err)
			}
		})
	}
	senders.Wait()
	// Some of them being fetched shows that the new token serves; the rest would take long, at the five
	// requests a second that the gateway allows itself.
	eventually(t, 60*time.Second, func() string {
		if n := df.Stats().Requests["GET /api/3/events/{id}"]; n < 15 {
			return fmt.Sprintf("%d events were fetched", n)
		}
		return ""
	})
	s := df.Stats()
	if s.Refreshes != 1 || s.RefreshFailures != 0 {
		t.Errorf("%d refreshes and %d that failed, want one", s.Refreshes, s.RefreshFailures)
	}
	if s.Unauthorized == 0 {
		t.Error("no request found the token expired: this test proves nothing")
	}
}
