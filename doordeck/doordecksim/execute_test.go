package doordecksim_test

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
)

// refused is one good operation with one thing wrong.
type refused struct {
	name   string
	status int
	step   int
	send   func(i *identity) answer
}

// front signs an operation for the front door with pairs of claims changed.
func front(operation func(*cloud) object, changes ...any) func(*identity) answer {
	return func(i *identity) answer {
		i.c.t.Helper()
		return i.do(doordecksim.LockFront, operation(i.c), changes...)
	}
}

func unlocking(*cloud) object { return unlock() }

// sharing is a share with Ana, with pairs of fields changed.
func sharing(changes ...any) func(*cloud) object {
	return func(c *cloud) object { return with(c.add(doordecksim.VisitorAna), changes...) }
}

// headed signs a good unlock under a header with pairs changed.
func headed(pairs ...any) func(*identity) answer {
	return func(i *identity) answer {
		i.c.t.Helper()
		claims := i.claims(doordecksim.LockFront, unlock())
		return i.execute(doordecksim.LockFront, compact(i.c.t, i.key, with(i.header(), pairs...), claims))
	}
}

func chained(change func(i *identity, chain []string) []string) func(*identity) answer {
	return func(i *identity) answer {
		i.c.t.Helper()
		return headed("x5c", change(i, slices.Clone(i.chain)))(i)
	}
}

// at is a number of seconds from the tests' now.
func at(d time.Duration) int64 { return start.Add(d).Unix() }

func refusals() []refused {
	const user, day = "11111111-2222-4333-8444-555555555555", 24 * time.Hour
	another := func(i *identity) *identity { return i.c.identity(doordecksim.AdminBen) }
	people := func(c *cloud, n int) (all []object) {
		for range n {
			all = append(all, with(c.entry(doordecksim.VisitorAna), "user", newUUID()))
		}
		return all
	}
	return []refused{
		{"ContentType", 415, 1, func(i *identity) answer {
			return i.c.api(i.token, "POST", "/device/"+doordecksim.LockFront+"/execute", "a.b.c", "Content-Type", "text/plain")
		}},
		{"NoContentType", 415, 1, func(i *identity) answer {
			return i.c.api(i.token, "POST", "/device/"+doordecksim.LockFront+"/execute", "a.b.c")
		}},
		{"NoToken", 400, 2, func(i *identity) answer { return i.execute(doordecksim.LockFront, "") }},
		{"ClaimsNoObject", 400, 2, func(i *identity) answer {
			return i.execute(doordecksim.LockFront, compact(i.c.t, i.key, i.header(), []int{1}))
		}},
		{"HeaderNoObject", 400, 2, func(i *identity) answer {
			return i.execute(doordecksim.LockFront, compact(i.c.t, i.key, "EdDSA", object{}))
		}},
		{"Algorithm", 400, 3, headed("alg", "RS256")},
		{"AlgorithmNone", 400, 3, headed("alg", "none")},
		{"AlgorithmMissing", 400, 3, headed("alg", absent)},
		{"Type", 400, 3, headed("typ", "JOSE")},
		{"TypeMissing", 400, 3, headed("typ", absent)},
		{"ChainMissing", 400, 3, headed("x5c", absent)},
		{"ChainEmpty", 400, 3, headed("x5c", []string{})},
		{"ChainText", 400, 3, headed("x5c", "MIIB")},
		{"ChainTooLong", 400, 3, headed("x5c", slices.Repeat([]string{"MIIB"}, 11))},
		{"ChainURLSafe", 400, 3, chained(func(_ *identity, c []string) []string {
			c[0] = strings.NewReplacer("+", "-", "/", "_").Replace(c[0]) + "----"
			return c
		})},
		{"ChainWrapped", 400, 3, chained(func(_ *identity, c []string) []string { c[0] = c[0][:64] + "\n" + c[0][64:]; return c })},
		{"NoCertificate", 403, 4, chained(func(_ *identity, c []string) []string { c[1] = "MIIB"; return c })},
		{"LeafAlone", 403, 4, chained(func(_ *identity, c []string) []string { return c[:1] })},
		{"WithoutPlatform", 403, 4, chained(func(_ *identity, c []string) []string { return c[:2] })},
		{"Gap", 403, 4, chained(func(_ *identity, c []string) []string { return slices.Delete(c, 1, 2) })},
		{"Backwards", 403, 4, chained(func(_ *identity, c []string) []string { slices.Reverse(c); return c })},
		{"OtherLeaf", 403, 4, chained(func(i *identity, c []string) []string { c[0] = another(i).chain[0]; return c })},
		{"OtherUserCA", 403, 4, chained(func(i *identity, c []string) []string { c[1] = another(i).chain[1]; return c })},
		{"UntrustedRoot", 403, 4, func(i *identity) answer {
			return chained(func(*identity, []string) []string { return encodedChain(newTestCA(i.c.t).chain(i.key.Public())) })(i)
		}},
		{"ForeignCloud", 403, 4, func(i *identity) answer { return newCloud(i.c.t).identity(doordecksim.AdminAda).through(i) }},
		{"LeafIsRSA", 403, 4, chained(func(_ *identity, c []string) []string { return c[1:] })},
		{"KeyForgotten", 403, 4, func(i *identity) answer {
			i.c.ForgetKeys(doordecksim.AdminAda)
			return front(unlocking)(i)
		}},
		{"Signature", 403, 5, func(i *identity) answer {
			other := *i
			other.key = newKey(i.c.t)
			return front(unlocking)(&other)
		}},
		{"IssMissing", 400, 6, front(unlocking, "iss", absent)},
		{"IssNoUUID", 400, 6, front(unlocking, "iss", doordecksim.AdminAda)},
		{"SubMissing", 400, 6, front(unlocking, "sub", absent)},
		{"SubNumber", 400, 6, front(unlocking, "sub", 7)},
		{"NbfMissing", 400, 6, front(unlocking, "nbf", absent)},
		{"IatText", 400, 6, front(unlocking, "iat", "now")},
		{"ExpNull", 400, 6, front(unlocking, "exp", nil)},
		{"ExpHuge", 400, 6, front(unlocking, "exp", 1e300)},
		{"JTINumber", 400, 6, front(unlocking, "jti", 7)},
		{"OperationMissing", 400, 6, front(unlocking, "operation", absent)},
		{"OperationText", 400, 6, front(unlocking, "operation", "MUTATE_LOCK")},
		{"OperationUnknown", 400, 6, front(func(*cloud) object { return object{"type": "OPEN_SESAME"} })},
		{"OperationLowerCase", 400, 6, front(func(*cloud) object { return object{"type": "mutate_lock", "locked": false} })},
		{"SubOtherLock", 400, 7, front(unlocking, "sub", doordecksim.LockLoading)},
		{"IssOtherUser", 403, 7, front(unlocking, "iss", user)},
		{"CallerOtherUser", 403, 7, func(i *identity) answer {
			other := *i
			other.token = i.c.openID(i.c.claims(doordecksim.AdminBen))
			return front(unlocking)(&other)
		}},
		{"NbfAhead", 403, 8, front(sharing(), "nbf", at(61*time.Second), "exp", at(time.Hour))},
		{"IatAhead", 403, 8, front(sharing(), "iat", at(61*time.Second), "exp", at(time.Hour))},
		{"Expired", 403, 8, front(unlocking, "nbf", at(-time.Minute), "exp", at(0))},
		{"ExpNotAfterNbf", 400, 8, front(unlocking, "nbf", at(30*time.Second), "exp", at(30*time.Second))},
		{"Beyond14Days", 400, 8, front(sharing(), "exp", at(14*day+time.Second))},
		{"UnlockBeyondAMinute", 400, 8, front(unlocking, "exp", at(121*time.Second))},
		{"Replay", 409, 9, func(i *identity) answer {
			wantStatus(i.c.t, front(unlocking, "jti", "one")(i), 200)
			return front(unlocking, "jti", "one")(i)
		}},
		{"UnknownLock", 404, 10, func(i *identity) answer { return i.do(user, unlock()) }},
		{"NotMyLock", 404, 10, func(i *identity) answer { return another(i).do(doordecksim.LockArchive, unlock()) }},
		{"BeforeMyTime", 404, 10, func(i *identity) answer { return i.during(start.Add(time.Hour), time.Time{}) }},
		{"AfterMyTime", 404, 10, func(i *identity) answer { return i.during(time.Time{}, start) }},
		{"UserShares", 403, 10, asUser(sharing())},
		{"UserSharesABatch", 403, 10, asUser(func(c *cloud) object { return batch(c.entry(doordecksim.VisitorAna)) })},
		{"UserSets", 403, 10, asUser(func(*cloud) object { return object{"type": "MUTATE_SETTING", "unlockDuration": 5} })},
		{"UserRemovesAnother", 403, 10, asUser(func(c *cloud) object { return remove(c.id(doordecksim.AdminBen)) })},
		{"UserRemovesSelfAndAnother", 403, 10, asUser(func(c *cloud) object {
			return remove(c.id(doordecksim.VisitorDora), c.id(doordecksim.AdminBen))
		})},
		{"LockedMissing", 400, 11, front(func(*cloud) object { return object{"type": "MUTATE_LOCK"} })},
		{"LockedText", 400, 11, front(func(*cloud) object { return object{"type": "MUTATE_LOCK", "locked": "false"} })},
		{"UserMissing", 400, 11, front(sharing("user", absent))},
		{"UserSubject", 400, 11, front(sharing("user", doordecksim.VisitorAna))},
		{"KeyMissing", 400, 11, front(sharing("publicKey", absent))},
		{"RoleUnknown", 400, 11, front(sharing("role", "OWNER"))},
		{"RoleNumber", 400, 11, front(sharing("role", 1))},
		{"StartText", 400, 11, front(sharing("start", "2026-01-02T00:00:00Z"))},
		{"StartHuge", 400, 11, front(sharing("start", 1e15))},
		{"EndNotAfterStart", 400, 11, front(sharing("start", 1767312000, "end", 1767312000))},
		{"BatchEmpty", 400, 11, front(func(*cloud) object { return object{"type": "BATCH_ADD_USER", "users": []int{}} })},
		{"BatchMissing", 400, 11, front(func(*cloud) object { return object{"type": "BATCH_ADD_USER"} })},
		{"BatchOf26", 400, 11, front(func(c *cloud) object { return batch(people(c, 26)...) })},
		{"BatchTwice", 400, 11, front(func(c *cloud) object {
			ana := c.entry(doordecksim.VisitorAna)
			return batch(ana, with(ana, "user", strings.ToUpper(ana["user"].(string))))
		})},
		{"BatchEntryBad", 400, 11, front(func(c *cloud) object {
			return batch(c.entry(doordecksim.VisitorAna), object{"user": 7})
		})},
		{"BatchUnsupported", 400, 11, func(i *identity) answer {
			return i.do(doordecksim.LockArchive, batch(i.c.entry(doordecksim.VisitorAna)))
		}},
		{"BatchUnknown", 400, 11, func(i *identity) answer {
			return i.do(doordecksim.LockLoading, batch(i.c.entry(doordecksim.VisitorAna)))
		}},
		{"RemoveNobody", 400, 11, front(func(*cloud) object { return object{"type": "REMOVE_USER", "users": []string{}} })},
		{"RemoveNoUUID", 400, 11, front(func(*cloud) object { return remove(doordecksim.VisitorAna) })},
		{"DurationZero", 400, 11, front(func(*cloud) object { return object{"type": "MUTATE_SETTING", "unlockDuration": 0} })},
		{"Duration61", 400, 11, front(func(*cloud) object { return object{"type": "MUTATE_SETTING", "unlockDuration": 61} })},
		{"HoursText", 400, 11, front(func(*cloud) object { return object{"type": "MUTATE_SETTING", "unlockBetween": "always"} })},
		{"HoursBad", 400, 11, front(func(*cloud) object {
			return object{"type": "MUTATE_SETTING", "unlockBetween": object{"start": "9", "end": "17:00", "timezone": "UTC", "days": []string{"MONDAY"}}}
		})},
		{"ShareWithAStranger", 404, 12, front(sharing("user", user))},
		{"OtherKey", 400, 12, front(func(c *cloud) object {
			return with(c.add(doordecksim.VisitorAna), "publicKey", c.entry(doordecksim.VisitorDora)["publicKey"])
		})},
		{"KeyNoBase64", 400, 12, front(sharing("publicKey", "?"))},
		{"BatchWithAStranger", 404, 12, front(func(c *cloud) object {
			return batch(c.entry(doordecksim.VisitorAna), people(c, 1)[0])
		})},
		{"RemoveAStranger", 404, 12, front(func(*cloud) object { return remove(user) })},
		{"Offline", 503, 14, func(i *identity) answer { return i.do(doordecksim.LockBoat, unlock()) }},
		{"Hanging", 504, 14, func(i *identity) answer { return i.do(doordecksim.LockLift, unlock()) }},
	}
}

// through sends an operation of one cloud's identity to another's.
func (i *identity) through(other *identity) answer {
	claims := other.claims(doordecksim.LockFront, unlock())
	return other.execute(doordecksim.LockFront, compact(other.c.t, i.key, i.header(), claims))
}

// during unlocks while the access has bounds.
func (i *identity) during(from, until time.Time) answer {
	i.c.t.Helper()
	m := doordecksim.Member{User: i.id, Role: doordecksim.RoleAdmin, Start: from, End: until}
	if err := i.c.SetAccess(doordecksim.LockFront, m); err != nil {
		i.c.t.Fatal(err)
	}
	return i.do(doordecksim.LockFront, unlock())
}

// asUser lets Dora, who is no administrator, do something at the front door.
func asUser(operation func(*cloud) object) func(*identity) answer {
	return func(i *identity) answer { return front(operation)(i.c.identity(doordecksim.VisitorDora)) }
}

// newUUID is one of nobody.
func newUUID() string {
	hex := rand.Text() + rand.Text()
	hex = strings.Map(func(r rune) rune { return rune("0123456789abcdef"[int(r)%16]) }, hex)
	return hex[:8] + "-" + hex[8:12] + "-4" + hex[13:16] + "-8" + hex[17:20] + "-" + hex[20:32]
}

// TestRefusals: each rule by itself, in a cloud of its own, with nothing changed by what was refused.
func TestRefusals(t *testing.T) {
	for _, test := range refusals() {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t)
			i := c.identity(doordecksim.AdminAda)
			a := test.send(i)
			wantStatus(t, a, test.status)
			if a.object(t)["code"] != float64(test.status) {
				t.Errorf("body %s", a.body)
			}
			entry := c.last()
			if entry.Outcome != doordecksim.Refused || entry.Step != test.step || entry.Status != test.status || entry.Reason == "" || entry.Order != 0 {
				t.Errorf("ledger %+v", entry)
			}
			if len(c.Users(doordecksim.LockFront)) != 3 {
				t.Errorf("users %v", c.Users(doordecksim.LockFront))
			}
			if name := test.name; c.Unlocks(doordecksim.LockFront) != 0 && name != "Replay" {
				t.Error("the door was unlocked")
			}
		})
	}
	t.Run("AuthToken", func(t *testing.T) {
		c := newCloud(t)
		i := c.identity(doordecksim.AdminAda)
		i.token = "x.y.z"
		wantStatus(t, i.do(doordecksim.LockFront, unlock()), 401)
		if len(c.Ledger()) != 0 {
			t.Error("it is in the ledger")
		}
	})
}

// TestTheFirstFailureAnswers breaks two rules at a time.
func TestTheFirstFailureAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		send func(i *identity) answer
		step int
	}{
		"header before chain":    {headed("alg", "none", "x5c", []string{"MIIB"}), 3},
		"signature before types": {func(i *identity) answer { o := *i; o.key = newKey(i.c.t); return front(unlocking, "iss", 1)(&o) }, 5},
		"types before parties":   {front(unlocking, "sub", doordecksim.LockLoading, "nbf", absent), 6},
		"parties before times":   {front(unlocking, "sub", doordecksim.LockLoading, "exp", at(0)), 7},
		"times before access":    {func(i *identity) answer { return i.do(newUUID(), unlock(), "exp", at(0)) }, 8},
		"access before fields":   {func(i *identity) answer { return i.do(newUUID(), object{"type": "MUTATE_LOCK"}) }, 10},
		"fields before people":   {front(sharing("user", newUUID(), "role", "OWNER")), 11},
		"people before device": {func(i *identity) answer {
			return i.do(doordecksim.LockBoat, with(i.c.add(doordecksim.VisitorAna), "user", newUUID()))
		}, 12},
	} {
		c := newCloud(t)
		test.send(c.identity(doordecksim.AdminAda))
		if got := c.last().Step; got != test.step {
			t.Errorf("%s: step %d, want %d", name, got, test.step)
		}
	}
}
