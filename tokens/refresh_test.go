package tokens_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/tokens"
)

func TestTokenIsRefreshedUnderAMinuteBeforeItsEnd(t *testing.T) {
	tests := []struct {
		name string
		life time.Duration
		want string
	}{
		{"61 seconds remain", 61 * time.Second, "access-1"},
		{"59 seconds remain", 59 * time.Second, "access-2"},
		{"expired", -time.Hour, "access-2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			p := newProcess(t, sqldbtest.SQLite(t), s, "")
			s.on(func(context.Context, string) (tokens.Pair, error) { return pair("2", p.now().Add(time.Hour)), nil })
			p.connect(t, "access-1", "refresh-1", test.life)
			token, err := p.Token(t.Context(), account)
			want(t, token, err, test.want)
		})
	}
}

func TestShortLivedTokensAreNotRefreshedAtEveryCall(t *testing.T) {
	s := &script{}
	p := newProcess(t, sqldbtest.SQLite(t), s, "")
	s.on(func(context.Context, string) (tokens.Pair, error) { return pair("2", p.now().Add(40*time.Second)), nil })
	p.connect(t, "access-1", "refresh-1", -time.Second)
	for range 3 {
		token, err := p.Token(t.Context(), account)
		want(t, token, err, "access-2")
	}
	if n := len(s.calls()); n != 1 {
		t.Fatalf("%d refreshes", n)
	}
}

func TestReplyWithoutRefreshTokenOrScopesKeepsTheOld(t *testing.T) {
	s := &script{}
	p := newProcess(t, sqldbtest.SQLite(t), s, "")
	s.on(func(context.Context, string) (tokens.Pair, error) {
		return tokens.Pair{Access: vault.NewSecret("access-2")}, nil
	})
	p.connect(t, "access-1", "refresh-1", -time.Second)
	for range 2 {
		token, err := p.Token(t.Context(), account)
		want(t, token, err, "access-2")
		p.advance(2 * time.Hour) // without expires_in an hour is assumed
	}
	if calls := strings.Join(s.calls(), " "); calls != "refresh-1 refresh-1" {
		t.Fatalf("refreshed with %s", calls)
	}
	if c, _ := p.Get(t.Context(), account); len(c.Scopes) != len(scopes) || len(c.MissingScopes) != 0 {
		t.Fatalf("scopes %v, missing %v", c.Scopes, c.MissingScopes)
	}
}

func TestCallerLeavesAndThePairIsStored(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, asked, answer := &script{}, make(chan struct{}), make(chan struct{})
		p := newProcess(t, db, s, "")
		s.on(func(ctx context.Context, _ string) (tokens.Pair, error) {
			close(asked)
			<-answer
			return pair("2", p.now().Add(time.Hour)), ctx.Err()
		})
		p.connect(t, "access-1", "refresh-1", -time.Second)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := p.Token(ctx, account)
			left <- err
		}()
		<-asked
		leave()
		wantError(t, <-left, context.Canceled)
		close(answer)
		p.drain(t)
		token, err := p.Token(t.Context(), account)
		want(t, token, err, "access-2")
	})
}

// A gateway that stops finishes what DoorFlow was asked, and asks no more.
func TestDrainingKeeperStartsNoRefresh(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, asked, answer := &script{}, make(chan struct{}), make(chan struct{})
		p := newProcess(t, db, s, "")
		s.on(func(context.Context, string) (tokens.Pair, error) {
			close(asked)
			<-answer
			return pair("2", p.now().Add(time.Hour)), nil
		})
		p.connect(t, "access-1", "refresh-1", -time.Second)
		first := make(chan error, 1)
		go func() {
			_, err := p.Token(t.Context(), account)
			first <- err
		}()
		<-asked
		p.Drain()
		close(answer)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		token, err := p.Token(t.Context(), account)
		want(t, token, err, "access-2")
		_, err = p.Rejected(t.Context(), account, token)
		wantError(t, err, tokens.ErrUnavailable)
		if n := len(s.calls()); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

func TestLostReply(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		sim := newCloud(t, doorflowsim.Options{})
		p := newProcess(t, db, sim.client, "")
		access, refresh := sim.Grant(account, scopes...)
		p.connect(t, access, refresh, -time.Second)
		sim.Faults().DropTokenReply(1)
		_, err := p.Token(t.Context(), account)
		wantError(t, err, tokens.ErrUnavailable)
		if got := p.status(t); got != tokens.StatusActive {
			t.Fatalf("status %s after a lost reply", got)
		}
		p.advance(2 * time.Second)
		_, err = p.Token(t.Context(), account) // tried once more, and DoorFlow has rotated it away
		wantError(t, err, tokens.ErrNeedsReconnect)
		if got := p.said(t); got != "active reauthorize" {
			t.Fatalf("said %q", got)
		}
	})
}

func TestFailuresBackOffWhileALiveTokenServes(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		sim := newCloud(t, doorflowsim.Options{})
		p := newProcess(t, db, sim.client, "")
		access, refresh := sim.Grant(account, scopes...)
		p.connect(t, access, refresh, 30*time.Second)
		sim.Faults().FailToken(-1, 503, `{"error":"invalid_grant"}`) // a proxy's word counts for nothing
		for range 5 {
			token, err := p.Token(t.Context(), account)
			want(t, token, err, access)
		}
		if n := sim.Stats().TokenRequests; n != 1 {
			t.Fatalf("%d requests within the first second", n)
		}
		p.advance(2 * time.Second)
		token, err := p.Token(t.Context(), account)
		want(t, token, err, access)
		if n := sim.Stats().TokenRequests; n != 2 {
			t.Fatalf("%d requests, want a second one", n)
		}
		p.advance(time.Minute)
		_, err = p.Token(t.Context(), account)
		wantError(t, err, tokens.ErrUnavailable)
		sim.Faults().Reset()
		p.advance(time.Minute)
		if _, err = p.Token(t.Context(), account); err != nil || p.status(t) != tokens.StatusActive {
			t.Fatal(err, p.status(t))
		}
	})
}

func TestMisconfigurationIsLoudAndDestroysNothing(t *testing.T) {
	s := &script{}
	p := newProcess(t, sqldbtest.SQLite(t), s, "")
	s.on(func(context.Context, string) (tokens.Pair, error) { return tokens.Pair{}, errClient })
	p.connect(t, "access-1", "refresh-1", -time.Second)
	for range 3 {
		_, err := p.Token(t.Context(), account)
		wantError(t, err, tokens.ErrUnavailable, tokens.ErrMisconfigured)
		p.advance(6 * time.Second)
	}
	if n := strings.Count(p.logs.String(), "level=ERROR"); n != 1 {
		t.Fatalf("%d loud lines within a minute, want 1", n)
	}
	if got := p.status(t); got != tokens.StatusActive {
		t.Fatalf("status %s", got)
	}
	s.on(func(context.Context, string) (tokens.Pair, error) { return pair("2", p.now().Add(time.Hour)), nil })
	p.advance(time.Minute)
	token, err := p.Token(t.Context(), account)
	want(t, token, err, "access-2")
}

func TestFreshTokensThatAreRefusedMakeNoStorm(t *testing.T) {
	s := &script{}
	p := newProcess(t, sqldbtest.SQLite(t), s, "")
	s.on(func(context.Context, string) (tokens.Pair, error) {
		return pair(time.Now().String(), p.now().Add(time.Hour)), nil
	})
	p.connect(t, "access-1", "refresh-1", time.Hour)
	used := vault.NewSecret("access-1")
	for range 120 { // a minute of a program that asks twice a second
		if token, err := p.Rejected(t.Context(), account, used); err == nil {
			used = token
		} else {
			wantError(t, err, tokens.ErrUnavailable)
		}
		p.advance(500 * time.Millisecond)
	}
	if n := len(s.calls()); n < 2 || n > 8 {
		t.Fatalf("%d refreshes in a minute of refusals", n)
	}
	if got := p.status(t); got != tokens.StatusActive {
		t.Fatalf("status %s", got)
	}
}

// A replica that is ahead of this one has refreshed; what looks like the future must not count as just now.
func TestRefusalOfATokenFromAReplicaThatIsAhead(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, keyset := &script{}, filepath.Join(t.TempDir(), "keyset.json")
		ahead, here := newProcess(t, db, s, keyset), newProcess(t, db, s, keyset)
		ahead.advance(5 * time.Minute)
		s.on(func(context.Context, string) (tokens.Pair, error) { return pair("2", ahead.now().Add(time.Hour)), nil })
		ahead.connect(t, "access-1", "refresh-1", -time.Second)
		token, err := ahead.Token(t.Context(), account)
		want(t, token, err, "access-2")
		s.on(func(context.Context, string) (tokens.Pair, error) { return pair("3", here.now().Add(time.Hour)), nil })
		token, err = here.Rejected(t.Context(), account, token)
		want(t, token, err, "access-3")
	})
}

func TestFullLogDoesNotTurnAPairAway(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := &script{}
		p := newProcessWith(t, db, s, "", events.LogConfig{MaxQueued: 1})
		p.connect(t, "access-1", "refresh-1", -time.Second)
		nothing := func(context.Context, *events.Tx) error { return nil }
		ended := make(chan error, 2)
		s.on(func(context.Context, string) (tokens.Pair, error) {
			busy, free := make(chan struct{}), make(chan struct{})
			go func() {
				ended <- p.events.Do(context.Background(), func(context.Context, *events.Tx) error {
					close(busy)
					<-free
					return nil
				})
			}()
			<-busy
			go func() { ended <- p.events.Do(context.Background(), nothing) }()
			gone, cancel := context.WithCancel(context.Background())
			cancel()
			for p.events.Do(gone, nothing) != events.ErrOverloaded {
			}
			time.AfterFunc(50*time.Millisecond, func() { close(free) })
			return pair("2", p.now().Add(time.Hour)), nil
		})
		token, err := p.Token(t.Context(), account)
		want(t, token, err, "access-2")
		<-ended
		<-ended
	})
}
