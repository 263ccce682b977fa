package doordeck_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck"
)

type payload struct {
	Iss, Sub      string
	Nbf, Iat, Exp int64
	Jti           string
	Operation     json.RawMessage
}

func payloadOf(t *testing.T, signed doordeck.Signed) payload {
	t.Helper()
	var p payload
	if err := json.Unmarshal(decodeURL(t, strings.Split(signed.JWT.Reveal(), ".")[1]), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSignTimes(t *testing.T) {
	fraction := signer(t)
	fraction.Clock = doordeck.NewClock(nil, func() time.Time { return moment.Add(999 * time.Millisecond) })
	for _, tt := range []struct {
		name   string
		signer doordeck.Signer
		op     doordeck.Operation
		life   time.Duration
		exp    int64 // after the moment; 0 when it is refused
	}{
		{"now", signer(t), doordeck.RemoveUsers{invitee1}, 0, 55},
		{"an unlock now", signer(t), doordeck.Unlock{}, 0, 55},
		{"the longest unlock", signer(t), doordeck.Unlock{}, doordeck.MaxNow, 60},
		{"an unlock that would wait", signer(t), doordeck.Unlock{}, doordeck.MaxNow + 1, 0},
		{"a pointer to one", signer(t), &doordeck.Unlock{}, doordeck.MaxNow + 1, 0},
		{"two weeks", signer(t), doordeck.RemoveUsers{invitee1}, doordeck.MaxWait, 14 * 86400},
		{"longer", signer(t), doordeck.RemoveUsers{invitee1}, doordeck.MaxWait + 1, 0},
		{"gone by", signer(t), doordeck.RemoveUsers{invitee1}, -time.Second, 0},
		{"no time at all", signer(t), doordeck.RemoveUsers{invitee1}, time.Millisecond, 0},
		{"late in the second", fraction, doordeck.RemoveUsers{invitee1}, 0, 55},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signed, err := tt.signer.Sign(lock, tt.op, tt.life)
			if (err == nil) != (tt.exp != 0) {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			p, now := payloadOf(t, signed), moment.Unix()
			if p.Nbf != now || p.Iat != now || p.Exp != now+tt.exp || signed.ExpiresAt.Unix() != p.Exp || signed.ID != p.Jti {
				t.Fatalf("%+v", p)
			}
		})
	}
}

func TestEverySignatureHasAnIDOfItsOwn(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 100 {
		signed, err := signer(t).Sign(lock, doordeck.Unlock{}, 0)
		if err != nil || !form.MatchString(signed.ID) || seen[signed.ID] {
			t.Fatalf("id %q, %v", signed.ID, err)
		}
		seen[signed.ID] = true
	}
}

func TestSignerRefuses(t *testing.T) {
	at := func(d time.Duration) *doordeck.Clock {
		return doordeck.NewClock(nil, func() time.Time { return moment.Add(d) })
	}
	end := chain(t).NotAfter().Sub(moment)
	for _, tt := range []struct {
		name   string
		change func(*doordeck.Signer)
		want   string // empty when it signs
	}{
		{"the OpenID subject as issuer", func(s *doordeck.Signer) { s.UserID = "admin-1" }, "UUID"},
		{"no key", func(s *doordeck.Signer) { s.Key = doordeck.EphemeralKey{} }, "no ephemeral key"},
		{"no chain", func(s *doordeck.Signer) { s.Chain = doordeck.Chain{} }, "no certificate chain"},
		{"another's chain", func(s *doordeck.Signer) { s.Key = doordeck.NewEphemeralKey() }, "another key"},
		{"a second before the chain's end", func(s *doordeck.Signer) { s.Clock = at(end - time.Second) }, ""},
		{"at the chain's end", func(s *doordeck.Signer) { s.Clock = at(end) }, "expired"},
		{"a minute before its beginning", func(s *doordeck.Signer) { s.Clock = at(-24*time.Hour - time.Minute) }, ""},
		{"earlier", func(s *doordeck.Signer) { s.Clock = at(-24*time.Hour - time.Minute - 1) }, "not good yet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := signer(t)
			tt.change(&s)
			signed, err := s.Sign(lock, doordeck.Unlock{}, 0)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || signed.ID != "") {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if errors.Is(err, doordeck.ErrChainExpired) != (tt.want == "expired") {
				t.Fatalf("%v", err)
			}
		})
	}
	if _, err := signer(t).Sign("front", doordeck.Unlock{}, 0); err == nil {
		t.Error("signed for no lock")
	}
	if _, err := signer(t).Sign(lock, nil, 0); err == nil {
		t.Error("signed nothing")
	}
}

// Without a clock of Doordeck's the machine's serves, under which the chain of the vectors has expired.
func TestSignerWithoutClock(t *testing.T) {
	s := signer(t)
	s.Clock = nil
	if _, err := s.Sign(lock, doordeck.Unlock{}, 0); time.Now().After(s.Chain.NotAfter()) != errors.Is(err, doordeck.ErrChainExpired) {
		t.Fatal(err)
	}
}
