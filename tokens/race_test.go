package tokens_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/tokens"
)

func TestInvalidGrantIsBelievedOnlyOfTheStoredToken(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := &script{}
		p := newProcess(t, db, s, "")
		s.on(func(context.Context, string) (tokens.Pair, error) {
			p.connect(t, "access-2", "refresh-2", time.Hour) // somebody connects anew meanwhile
			return tokens.Pair{}, errGone
		})
		p.connect(t, "access-1", "refresh-1", -time.Second)
		token, err := p.Token(t.Context(), account)
		want(t, token, err, "access-2")
		if got := p.said(t); got != "active active" {
			t.Fatalf("said %q", got)
		}
	})
}

func TestInvalidGrantEndsAConnectionAndWipesNothing(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := &script{}
		p := newProcess(t, db, s, "")
		s.on(func(context.Context, string) (tokens.Pair, error) { return tokens.Pair{}, errGone })
		p.connect(t, "access-1", "refresh-1", -time.Second)
		for range 3 {
			_, err := p.Token(t.Context(), account)
			wantError(t, err, tokens.ErrNeedsReconnect)
		}
		if n := len(s.calls()); n != 1 {
			t.Fatalf("asked %d times", n)
		}
		c, err := p.Get(t.Context(), account)
		if err != nil || c.Status != tokens.StatusReauthorize || c.Reason != "invalid_grant" {
			t.Fatalf("%+v, %v", c, err)
		}
		var kept int
		if err := db.Get(t.Context(), &kept, `SELECT COUNT(*) FROM connections WHERE access_token IS NOT NULL AND refresh_token IS NOT NULL AND generation = 0`); err != nil || kept != 1 {
			t.Fatalf("the tokens are gone, or the generation has moved: %d, %v", kept, err)
		}
		if got := p.said(t); got != "active reauthorize" {
			t.Fatalf("said %q", got)
		}
	})
}

// TestLatePairRestoresTheConnection has a process stall for longer than its lease, so that another is
// told invalid_grant with the token that the first one has just rotated.
func TestLatePairRestoresTheConnection(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, asked, answer := &script{}, make(chan struct{}), make(chan struct{})
		p := newProcess(t, db, s, "")
		var resumed []string
		p.OnActive = func(_ context.Context, _ *events.Tx, account string) error {
			resumed = append(resumed, account)
			return nil
		}
		p.connect(t, "access-1", "refresh-1", -time.Second)
		s.on(func(context.Context, string) (tokens.Pair, error) {
			close(asked)
			<-answer
			return pair("2", p.now().Add(time.Hour)), nil
		})
		first := make(chan error, 1)
		go func() {
			_, err := p.Token(t.Context(), account)
			first <- err
		}()
		<-asked
		if _, err := db.Writer().ExecContext(t.Context(), `DELETE FROM leases`); err != nil {
			t.Fatal(err)
		}
		s.on(func(context.Context, string) (tokens.Pair, error) { return tokens.Pair{}, errGone })
		_, err := p.Rejected(t.Context(), account, vault.NewSecret("access-1"))
		wantError(t, err, tokens.ErrNeedsReconnect)
		close(answer)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		token, err := p.Token(t.Context(), account)
		want(t, token, err, "access-2")
		if got := p.said(t); got != "active reauthorize active" || len(resumed) != 2 {
			t.Fatalf("said %q, resumed %v", got, resumed)
		}
	})
}

func TestPairThatComesTooLateIsDiscarded(t *testing.T) {
	tests := []struct {
		name      string
		meanwhile func(t *testing.T, p *process)
		status    string
		token     string // what is to be had afterwards
		revoked   string
	}{
		{"disconnected", func(t *testing.T, p *process) {
			if revoked, err := p.Disconnect(t.Context(), account); !revoked || err != nil {
				t.Error(revoked, err)
			}
		}, tokens.StatusDisconnected, "", "refresh-1 refresh-late"},
		{"connected anew", func(t *testing.T, p *process) {
			p.connect(t, "access-new", "refresh-new", time.Hour)
		}, tokens.StatusActive, "access-new", "refresh-late"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				s := &script{}
				p := newProcess(t, db, s, "")
				p.connect(t, "access-1", "refresh-1", -time.Second)
				s.on(func(context.Context, string) (tokens.Pair, error) {
					// As if the lease had run out, so that Disconnect need not wait.
					if _, err := db.Writer().ExecContext(t.Context(), `DELETE FROM leases`); err != nil {
						t.Error(err)
					}
					test.meanwhile(t, p)
					return pair("late", p.now().Add(time.Hour)), nil
				})
				token, err := p.Token(t.Context(), account)
				if test.token == "" {
					wantError(t, err, tokens.ErrNotConnected)
				} else {
					want(t, token, err, test.token)
				}
				if got := p.status(t); got != test.status {
					t.Errorf("status %s, want %s", got, test.status)
				}
				if got := s.wasRevoked(); got != test.revoked {
					t.Errorf("revoked %q, want %q", got, test.revoked)
				}
			})
		})
	}
}

func TestPairIsStoredWhenTheDatabaseComesBack(t *testing.T) {
	cluster := sqldbtest.Start(t)
	db := sqldbtest.Open(t, cluster.NewDatabase(t))
	s, away := &script{}, make(chan struct{})
	p := newProcess(t, db, s, "")
	s.on(func(context.Context, string) (tokens.Pair, error) {
		cluster.Kill()
		close(away)
		return pair("2", p.now().Add(time.Hour)), nil
	})
	p.connect(t, "access-1", "refresh-1", -time.Second)
	result := make(chan error, 1)
	go func() {
		token, err := p.Token(t.Context(), account)
		if err == nil && token.Reveal() != "access-2" {
			err = errors.New("got another token")
		}
		result <- err
	}()
	<-away
	for p.events.Healthy() == nil { // the first attempt to store has failed
		select {
		case err := <-result:
			t.Fatalf("the refresh ended before the pair was stored: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := cluster.Up(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	token, err := p.Token(t.Context(), account)
	want(t, token, err, "access-2")
	if n := strings.Count(p.logs.String(), "waits in memory"); n != 1 {
		t.Errorf("it was said %d times that the gateway should not be stopped now", n)
	}
}

func TestPairIsStoredWhenTheLogHasClosed(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := &script{}
		p := newProcess(t, db, s, "")
		s.on(func(context.Context, string) (tokens.Pair, error) {
			p.stop()
			return pair("2", p.now().Add(time.Hour)), nil
		})
		p.connect(t, "access-1", "refresh-1", -time.Second)
		token, err := p.Token(t.Context(), account)
		want(t, token, err, "access-2")
		token, err = p.Token(t.Context(), account)
		want(t, token, err, "access-2")
	})
}
