package sharing_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// A share that goes on failing for as long as it may wait holds up the others at its door for no more than a minute, above
// all no revoke; and it does not come after what was done meanwhile for its own people.
func TestAShareThatGoesOnFailingStepsAside(t *testing.T) {
	for name, at := range map[string]string{"the door": "/execute", "the directory": "/directory/query"} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, doordecksim.Options{Strict: true})
			bad := true
			ana, _ := c.User(doordecksim.VisitorAna)
			own := http.DefaultTransport.(*http.Transport).Clone()
			defer own.CloseIdleConnections()
			c.transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				ask, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(ask))
				if bad && strings.HasSuffix(r.URL.Path, at) && (strings.Contains(string(ask), "ana@") || strings.Contains(payload(string(ask)), "ADD_USER") && strings.Contains(payload(string(ask)), ana.ID)) {
					return &http.Response{StatusCode: 500, Body: http.NoBody}, nil
				}
				return own.RoundTrip(r)
			})
			d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
			failing := d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"}]}`, front)
			must(t, d.ops.Step(t.Context()))
			parked := d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"telephone":"+442079460012"}]}`, front)
			for range 35 {
				d.pass(t, c, 2*time.Second)
			}
			if parked = d.state(t, parked); parked.Status != sharing.Applied {
				t.Errorf("after a minute the next is %s", text(parked))
			}
			revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"foreign_key":"visitor-dora"}]}`, front)
			unlock := d.submit(t, `{"type":"unlock","lock":"%s"}`, front)
			must(t, d.ops.Step(t.Context()))
			if revoke, unlock = d.state(t, revoke), d.state(t, unlock); revoke.Status != sharing.Applied || unlock.Status != sharing.Applied {
				t.Errorf("%s\n%s", text(revoke), text(unlock))
			}
			anas := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"foreign_key":"visitor-ana"}]}`, front)
			must(t, d.ops.Step(t.Context()))
			bad = false
			for range 60 {
				d.pass(t, c, 2*time.Second)
			}
			if anas, failing = d.state(t, anas), d.state(t, failing); anas.Status != sharing.Applied || failing.Status != sharing.Cancelled {
				t.Errorf("%s\n%s", text(anas), text(failing))
			}
			if got := c.members(front); got != "admin-ada:ADMIN admin-ben:ADMIN visitor-bram:USER" {
				t.Errorf("the door has %s", got)
			}
		})
	}
}

// When everything fails, a lane is no storm.
func TestALaneFullOfTroubleIsNoStorm(t *testing.T) {
	t.Parallel()
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	_ = crowd(t, c, 40)
	c.Faults().Fail(execute, -1, 500)
	for i := range 40 {
		d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"foreign_key":"guest-%d"}]}`, front, i)
	}
	for range 90 {
		d.pass(t, c, 2*time.Second)
	}
	tried := 0
	var attempts []int
	must(t, d.db.Select(t.Context(), &attempts, `SELECT attempts FROM operations`))
	for _, n := range attempts {
		if n > 0 {
			tried++
		}
	}
	if tried > 9 {
		t.Errorf("%s are tried again and again", fmt.Sprint(tried))
	}
}

// payload is what a JWT says.
func payload(jwt string) string {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return ""
	}
	data, _ := base64.RawURLEncoding.DecodeString(parts[1])
	return string(data)
}

// However many shares go on failing, a revoke is sent; and none of them comes after it for its people.
func TestManySharesThatGoOnFailingHoldUpNoRevoke(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	own := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(own.CloseIdleConnections)
	bad := true
	c.transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		ask, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(ask))
		if bad && strings.Contains(payload(string(ask)), "ADD_USER") {
			return &http.Response{StatusCode: 500, Body: http.NoBody}, nil
		}
		return own.RoundTrip(r)
	})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	_ = crowd(t, c, 12)
	var shares []sharing.Answer
	for i := range 12 {
		shares = append(shares, d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"foreign_key":"guest-%d"}]}`, front, i))
	}
	last := d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"foreign_key":"visitor-dora"}],"role":"ADMIN"}`, front)
	for range 90 {
		d.pass(t, c, 8*time.Second)
	}
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"foreign_key":"visitor-dora"}]}`, front)
	for range 3 {
		d.pass(t, c, 8*time.Second)
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Applied || strings.Contains(c.members(front), "visitor-dora") {
		t.Errorf("the door has %s\n%s", c.members(front), text(revoke))
	}
	bad = false
	for range 60 {
		d.pass(t, c, 8*time.Second)
	}
	for _, a := range shares {
		if a = d.state(t, a); a.Status != sharing.Applied {
			t.Error(text(a))
		}
	}
	if last = d.state(t, last); last.Status != sharing.Cancelled || strings.Contains(c.members(front), "visitor-dora") {
		t.Errorf("the door has %s\n%s", c.members(front), text(last))
	}
}
