package doordecksim

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

func TestSpentTokensAreBounded(t *testing.T) {
	now := time.Unix(1767312000, 0)
	r := replays{until: map[replayKey]time.Time{}}
	use := func(n int, until time.Time) bool { return r.first("u", fmt.Sprint(n), until, now) }
	for n := range maxReplays {
		if !use(n, now.Add(time.Minute)) {
			t.Fatal("a new one was known")
		}
	}
	if use(0, now.Add(time.Minute)) {
		t.Error("one that is remembered was new")
	}
	now = now.Add(time.Minute) // all have ended
	use(maxReplays, now.Add(time.Hour))
	if len(r.order) != 1 || len(r.until) != 1 {
		t.Errorf("%d remembered", len(r.order))
	}
	for n := range maxReplays + 1 {
		use(n, now.Add(time.Hour)) // none has
	}
	if len(r.order) > maxReplays || len(r.until) != len(r.order) {
		t.Errorf("%d remembered", len(r.order))
	}
	if use(maxReplays-1, now.Add(time.Hour)) {
		t.Error("a late one was forgotten before the early ones")
	}
}

func TestTheLedgerIsBounded(t *testing.T) {
	l := newLedger()
	for n := range maxLedger + 10 {
		l.add(&LedgerEntry{JTI: fmt.Sprint(n)})
	}
	if len(l.entries) != maxLedger || l.entries[0].JTI != "10" {
		t.Errorf("%d entries from %s", len(l.entries), l.entries[0].JTI)
	}
	for range 10 {
		l.add(&LedgerEntry{Targets: make([]Member, maxTargets/5)})
	}
	if l.targets > maxTargets || len(l.entries) > 5 {
		t.Errorf("%d targets in %d entries", l.targets, len(l.entries))
	}
}

func TestKeysSessionsAndLogsAreBounded(t *testing.T) {
	s := New(Options{})
	u := s.people.all[0]
	key := func(n int) ed25519.PublicKey {
		return binary.BigEndian.AppendUint64(make([]byte, 24, 32), uint64(n))
	}
	for n := range maxUserKeys + 5 {
		s.people.verified(u, key(n))
		s.people.verified(u, key(n))
	}
	if len(u.keys) != maxUserKeys || len(s.people.byKey) != maxUserKeys || u.has(key(4)) || !u.has(key(5)) {
		t.Errorf("%d keys, %d by key", len(u.keys), len(s.people.byKey))
	}
	first := s.sessions.begin()
	for range maxSessions {
		s.sessions.begin()
	}
	if len(s.sessions.alive) != maxSessions || s.sessions.live(first) {
		t.Errorf("%d sessions", len(s.sessions.alive))
	}
	l := s.locks.order[0]
	for range maxAudit + 5 {
		l.log(auditEntry{})
	}
	if len(l.audit) != maxAudit {
		t.Errorf("%d audit entries", len(l.audit))
	}
	for range maxFaults + 5 {
		s.Faults().CutBefore("", 1)
	}
	if len(s.faults.rules) != maxFaults {
		t.Errorf("%d faults", len(s.faults.rules))
	}
}

// TestPeopleRunOut makes more users than there are keys.
func TestPeopleRunOut(t *testing.T) {
	s := New(Options{})
	made := 0
	for ; made <= maxKeys; made++ {
		if _, err := s.AddUser(User{Subject: fmt.Sprint("guest-", made), PublicKey: "x"}); err != nil {
			break
		}
	}
	if made < maxKeys-20 || made > maxKeys {
		t.Errorf("%d were made", made)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	s := New(Options{})
	s.queue = make([]*queued, maxQueued)
	x := &execution{call: &call{sim: s, now: s.now()}, claims: claims{exp: seconds(s.now().Add(time.Hour))}}
	if r := x.room(); r == nil || r.status != 503 {
		t.Errorf("refusal %v", r)
	}
}
