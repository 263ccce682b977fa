package webhooks_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse/events"
	"gatehouse/internal/egress"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/standardwebhooks"
	"gatehouse/webhooks"
)

// Every status there can be has one outcome, and only 2xx is success.
func TestEveryStatusHasAnOutcome(t *testing.T) {
	want := func(status int) webhooks.Outcome {
		if one, ok := map[int]webhooks.Outcome{410: "gone", 429: "busy", 503: "busy"}[status]; ok {
			return one
		}
		return map[int]webhooks.Outcome{1: "odd", 2: "delivered", 3: "redirected", 4: "refused", 5: "failed"}[status/100]
	}
	for status := 100; status <= 599; status++ {
		if got := webhooks.OutcomeOf(status); got != want(status) {
			t.Errorf("%d is %s, want %s", status, got, want(status))
		}
	}
	for _, status := range []int{-1, 0, 99, 600, 999} {
		if got := webhooks.OutcomeOf(status); got != webhooks.OutcomeOdd {
			t.Errorf("%d is %s", status, got)
		}
	}
	all := webhooks.Outcomes()
	for _, f := range egress.Failures() {
		if !slices.Contains(all, webhooks.Outcome(f)) {
			t.Errorf("%s is missing among the outcomes", f)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(all)))) != len(all) {
		t.Error("an outcome has two meanings")
	}
}

// What goes wrong before there is an answer is told apart, tried again, and held against the endpoint.
func TestFailuresWithoutAnAnswer(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	closed := newBMS(t)
	closed.Close()
	broken := newBMS(t)
	broken.answers(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = conn.Write([]byte("nonsense\r\n\r\n"))
			_ = conn.Close()
		}
	})
	redirects := newBMS(t)
	redirects.answers(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, b.URL, http.StatusTemporaryRedirect) })
	for url, want := range map[string]webhooks.Outcome{
		closed.URL: webhooks.Outcome(egress.FailureConnect),
		broken.URL: webhooks.Outcome(egress.FailureAnswer),
		strings.Replace(b.URL, "http", "https", 1): webhooks.Outcome(egress.FailureTLS),
		"http://10.0.0.1/":                         webhooks.Outcome(egress.FailureURL),
		redirects.URL:                              webhooks.OutcomeRedirected,
	} {
		e, _ := o.endpoint(url)
		id := o.say(1)[0]
		await(t, "an attempt at "+url, func() bool { return len(o.delivery(id, e).Tried) > 0 })
		if d := o.delivery(id, e); d.Tried[0].Outcome != want || d.Status != "waiting" || d.NextAttemptAt.IsZero() {
			t.Errorf("%s: %+v, want %s", url, d, want)
		}
		must(t, o.endpoints.Delete(t.Context(), e.ID, webhooks.Limits{}))
	}
	if len(b.got()) != 0 {
		t.Error("a redirect was followed")
	}
}

func TestAnswersAreCleaned(t *testing.T) {
	for _, row := range []struct{ name, answer, want string }{
		{"plain", "no such door", "no such door"},
		{"lines", "a\r\nb\tc", "a  b c"},
		{"terminal", "\x1b[2Jgone\x07", "\uFFFD[2Jgone\uFFFD"},
		{"NUL", "a\x00b", "a\uFFFDb"},
		{"not UTF-8", "a\xff\xfeb", "a\uFFFD\uFFFDb"},
		{"right to left", "a\u202Eb", "a\uFFFDb"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := webhooks.Cleaned([]byte(row.answer)); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func FuzzCleaned(f *testing.F) {
	f.Add([]byte("\x1b[0m"))
	f.Add([]byte(strings.Repeat("é\xc3", 700)))
	f.Fuzz(func(t *testing.T, answer []byte) {
		got := webhooks.Cleaned(answer)
		if len(got) > 1024 || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q", got)
		}
	})
}

// An endless answer costs what is kept of it, and counts by its status.
func TestAnEndlessAnswer(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	b.answers(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat("x", 4096))); err != nil {
				return
			}
		}
	})
	e, _ := o.endpoint(b.URL)
	id := o.say(1)[0]
	o.settled()
	if d := o.delivery(id, e); d.Status != "delivered" || len(d.Tried[0].Answer) != 1024 {
		t.Errorf("it is %s, and %d bytes are kept", d.Status, len(d.Tried[0].Answer))
	}
}

// Neither a secret nor what is secret in a URL comes out in a log, a metric, the database in clear, or an answer.
func TestDeliveriesKeepSecrets(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	b.says(http.StatusTeapot)
	e, secret := o.endpoint(b.URL + "/path-planted-1?token=query-planted-2")
	refused, _ := o.endpoint("http://10.9.9.9/path-planted-3?token=query-planted-4")
	ids := o.say(3)
	for _, of := range []*webhooks.Endpoint{e, refused} {
		await(t, "attempts", func() bool { return len(o.delivery(ids[2], of).Tried) > 0 })
	}
	o.stop()
	shown := o.lines.String()
	families, err := o.registry.Gather()
	must(t, err)
	for _, f := range families {
		shown += f.String()
	}
	for _, of := range []*webhooks.Endpoint{e, refused} {
		page, _, err := o.List(t.Context(), of.ID, "", "", 50, webhooks.Limits{})
		must(t, err)
		for _, d := range page {
			for _, a := range d.Tried {
				text, err := a.MarshalJSON()
				must(t, err)
				shown += string(text)
			}
		}
	}
	for _, planted := range []string{secret.Reveal(), secret.Reveal()[6:], "planted"} {
		if strings.Contains(shown, planted) {
			t.Errorf("%q is shown", planted)
		}
	}
}

// The secret before a rotation does not sign alone: where the current one cannot be opened, nothing is sent. Where the old
// one cannot be, the current one signs without it.
func TestWhatASecretThatCannotBeOpenedSigns(t *testing.T) {
	for column, want := range map[string]webhooks.Outcome{"secret": webhooks.OutcomeUnsigned, "old_secret": webhooks.OutcomeDelivered} {
		t.Run(column, func(t *testing.T) {
			o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
			e, old := o.endpoint(b.URL)
			_, fresh, err := o.endpoints.RotateSecret(t.Context(), e.ID, webhooks.Limits{})
			must(t, err)
			for _, damage := range []string{`UPDATE endpoints SET ` + column + ` = x'00'`, `UPDATE endpoint_version SET version = version + 1`} {
				_, err := o.db.Writer().ExecContext(t.Context(), damage)
				must(t, err)
			}
			id := o.say(1)[0]
			await(t, "an attempt", func() bool { return len(o.delivery(id, e).Tried) > 0 })
			if got := o.delivery(id, e).Tried[0].Outcome; got != want {
				t.Errorf("it is %s, want %s", got, want)
			}
			hits := b.got()
			if want == webhooks.OutcomeUnsigned {
				if len(hits) != 0 {
					t.Error("it was sent all the same")
				}
				return
			}
			for secret, valid := range map[*standardwebhooks.Secret]bool{&fresh: true, &old: false} {
				if _, err := standardwebhooks.Verify(hits[0].header, hits[0].body, time.Now(), standardwebhooks.Tolerance, *secret); (err == nil) != valid {
					t.Errorf("by the fresh secret %v: %v", secret == &fresh, err)
				}
			}
		})
	}
}

// A secret that signs no more is not kept.
func TestAnOldSecretIsForgotten(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o := newOffice(t, db, keysetFile(t))
		e, _ := o.endpoint("http://127.0.0.1:1/")
		_, _, err := o.endpoints.RotateSecret(t.Context(), e.ID, webhooks.Limits{})
		must(t, err)
		for _, row := range []struct {
			forward time.Duration
			kept    int64
		}{{24*time.Hour + 30*time.Minute, 1}, {time.Hour, 0}} {
			o.clock.forward(row.forward)
			must(t, events.NewRetention(o.log, quiet, o.Pruners(time.Hour, time.Hour)...).Sweep(t.Context()))
			if n := o.count(`SELECT COUNT(*) FROM endpoints WHERE old_secret IS NOT NULL AND old_secret_until > 0`); n != row.kept {
				t.Errorf("another %s later %d are kept, want %d", row.forward, n, row.kept)
			}
		}
		now, err := o.endpoints.Get(t.Context(), e.ID, webhooks.Limits{})
		must(t, err)
		if secrets, err := now.Secrets(o.clock.now()); err != nil || len(secrets) != 1 || !now.OldSecretUntil.IsZero() {
			t.Errorf("%d secrets sign, the old one until %s, %v", len(secrets), now.OldSecretUntil, err)
		}
	})
}
