package doorflowsim_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
)

func TestTokenFaults(t *testing.T) {
	c := newCloud(t)
	_, refresh := c.Grant(doorflowsim.AccountA, events)
	c.Faults().FailToken(2, 503, `{"error":"down"}`)
	for range 2 {
		wantStatus(t, c.refresh(refresh), 503)
	}
	if c.LiveRefreshToken(doorflowsim.AccountA) != refresh {
		t.Error("a failed request has rotated the token")
	}
	c.Faults().DropTokenReply(1)
	if _, err := c.send(c.formRequest("/oauth/token", tokenForm("grant_type", "refresh_token", "refresh_token", refresh))); err == nil {
		t.Error("the dropped reply has arrived")
	}
	if got := c.LiveRefreshToken(doorflowsim.AccountA); got == refresh || got == "" {
		t.Error("the dropped reply has not rotated the token")
	}
	wantStatus(t, c.refresh(refresh), http.StatusBadRequest)
}

func TestAPIFaults(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA)
	get := func() answer { t.Helper(); return c.api(access, "GET", "/api/3/account", "") }
	c.Faults().FailAPI(1, 500, http.Header{"X-Odd": {"yes"}}, `{"error":"internal_server_error"}`)
	a := get()
	wantStatus(t, a, 500)
	if a.header.Get("X-Odd") != "yes" || a.json(t)["error"] != "internal_server_error" {
		t.Errorf("answer = %v %s", a.header, a.body)
	}
	c.Faults().RateLimitAPI(1, "7", 9)
	a = get()
	wantStatus(t, a, 429)
	if a.header.Get("Retry-After") != "7" || a.json(t)["retry_in"] != 9.0 {
		t.Errorf("answer = %v %s", a.header, a.body)
	}
	c.Faults().RateLimitAPI(-1, "", 0)
	for range 3 {
		a = get()
		wantStatus(t, a, 429)
	}
	if _, has := a.json(t)["retry_in"]; has || a.header.Get("Retry-After") != "" {
		t.Errorf("answer = %v %s", a.header, a.body)
	}
	c.Faults().FailOnly("/api/3/people")
	wantStatus(t, get(), http.StatusOK)
	wantStatus(t, c.api(access, "GET", "/api/3/people", ""), 429)
	c.Faults().Reset()
	wantStatus(t, get(), http.StatusOK)
	if s := c.Stats(); s.RateLimited != 5 || s.Requests["GET /api/3/account"] != 7 {
		t.Errorf("stats = %+v", s)
	}
}

func TestSlowAPIShowsInFlight(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA)
	c.Faults().SlowAPI(400 * time.Millisecond)
	var all sync.WaitGroup
	for range 4 {
		req := c.request("GET", "/api/3/account", "")
		req.Header.Set("Authorization", "Bearer "+access)
		all.Go(func() {
			if a, err := c.send(req); err != nil || a.status != 200 {
				t.Errorf("status %d, error %v", a.status, err)
			}
		})
	}
	all.Wait()
	if got := c.Stats().MaxInFlight[doorflowsim.AccountA]; got < 2 {
		t.Errorf("%d in flight, want them to overlap", got)
	}
}

func TestSigningFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		set    func(*doorflowsim.Faults)
		signed bool
		check  func(h hook, now time.Time) bool
	}{
		{
			"StaleTimestamp", func(f *doorflowsim.Faults) { f.StaleTimestamp(1, time.Hour) }, true,
			func(h hook, now time.Time) bool { return h.header.Get("Timestamp") < fmt.Sprint(now.Unix()-3500) },
		},
		{
			"WrongKey", func(f *doorflowsim.Faults) { f.WrongKey(1) }, false,
			func(h hook, _ time.Time) bool { return len(h.header.Get("Signature")) == 64 },
		},
		{"UpperHex", func(f *doorflowsim.Faults) { f.UpperHex(1) }, false, func(h hook, _ time.Time) bool {
			h.header.Set("Signature", strings.ToLower(h.header.Get("Signature")))
			return h.signed()
		}},
		{
			"NoSignature", func(f *doorflowsim.Faults) { f.DropHeader(1, "Signature") }, false,
			func(h hook, _ time.Time) bool { return len(h.header["Signature"]) == 0 },
		},
		{
			"NoTimestamp", func(f *doorflowsim.Faults) { f.DropHeader(1, "Timestamp") }, false,
			func(h hook, _ time.Time) bool { return len(h.header["Timestamp"]) == 0 },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t)
			r, _ := c.listen()
			test.set(c.Faults())
			for range 2 {
				c.Emit(doorflowsim.AccountA, pinUse())
				c.flush()
			}
			hooks := r.all()
			if hooks[0].signed() != test.signed || !test.check(hooks[0], c.Now()) {
				t.Errorf("headers = %v", hooks[0].header)
			}
			if !hooks[1].signed() {
				t.Error("the fault outlived its one request")
			}
		})
	}
}

func TestBodyFaults(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*doorflowsim.Faults)
		want string // part of the body
	}{
		{"EscapeAmpersand", func(f *doorflowsim.Faults) { f.EscapeAmpersand(1) }, `\u0026callback=`},
		{"SingleObject", func(f *doorflowsim.Faults) { f.SingleObject(1) }, `{"action"`},
		{"ForeignHost", func(f *doorflowsim.Faults) { f.ForeignHost(1, "evil.example.test") }, `"resource":"https://evil.example.test/api/3/events/`},
		{"UnknownType", func(f *doorflowsim.Faults) { f.UnknownType(1, "Gate") }, `"resource_type":"Gate"`},
		{"Destroy", func(f *doorflowsim.Faults) { f.Destroy(1) }, `"action":"DESTROY"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t)
			r, access := c.listen()
			test.set(c.Faults())
			e := c.Emit(doorflowsim.AccountA, pinUse())
			c.flush()
			h := r.all()[0]
			if !strings.Contains(h.body, test.want) || !h.signed() {
				t.Errorf("body = %s, signed %t", h.body, h.signed())
			}
			if array := strings.HasPrefix(h.body, "["); array == (test.name == "SingleObject") {
				t.Errorf("body = %s", h.body)
			}
			want := http.StatusOK
			if test.name == "Destroy" {
				want = http.StatusNotFound
			}
			wantStatus(t, c.api(access, "GET", eventPath(e)+"?ack_token="+c.Ledger()[0].AckToken, ""), want)
		})
	}
}

func TestAddResourceURL(t *testing.T) {
	c := newCloud(t, func(o *doorflowsim.Options) { o.AddResourceURL = true })
	r, _ := c.listen()
	c.Emit(doorflowsim.AccountA, pinUse())
	c.flush()
	if i := r.all()[0].items(t)[0]; i["resource_url"] == "" || i["resource_url"] != i["resource"] {
		t.Errorf("item = %v", i)
	}
}

func TestDuplicateReorderBatch(t *testing.T) {
	ids := func(t *testing.T, hooks []hook) []string {
		var all []string
		for _, h := range hooks {
			for _, i := range h.items(t) {
				all = append(all, i["resource_id"])
			}
		}
		return all
	}
	emit := func(c *cloud, n int) []string {
		var all []string
		for range n {
			all = append(all, fmt.Sprint(c.Emit(doorflowsim.AccountA, pinUse()).ID))
		}
		return all
	}
	t.Run("Duplicate", func(t *testing.T) {
		c := newCloud(t)
		r, _ := c.listen()
		c.Faults().Duplicate(1)
		emit(c, 1)
		c.flush()
		if hooks := r.all(); len(hooks) != 2 || hooks[0].body != hooks[1].body || c.Ledger()[0].Attempts != 2 {
			t.Errorf("%d requests, ledger %+v", len(hooks), c.Ledger())
		}
	})
	t.Run("Reorder", func(t *testing.T) {
		c := newCloud(t)
		r, _ := c.listen()
		c.Faults().Reorder(4)
		want := emit(c, 4)
		c.flush()
		slices.Reverse(want)
		if got := ids(t, r.all()); !slices.Equal(got, want) {
			t.Errorf("order = %v, want %v", got, want)
		}
	})
	t.Run("Batch", func(t *testing.T) {
		c := newCloud(t)
		r, _ := c.listen()
		c.Faults().Batch(3)
		want := emit(c, 3)
		c.flush()
		if hooks := r.all(); len(hooks) != 1 || !slices.Equal(ids(t, hooks), want) || !hooks[0].signed() {
			t.Errorf("%d requests with %v, want one with %v", len(hooks), ids(t, hooks), want)
		}
	})
	t.Run("ResetReleases", func(t *testing.T) {
		c := newCloud(t)
		r, _ := c.listen()
		c.Faults().Batch(9)
		c.Faults().Reorder(9)
		emit(c, 2)
		c.Faults().Reset()
		c.flush()
		if got := len(ids(t, r.all())); got != 2 {
			t.Errorf("%d items, want 2", got)
		}
	})
}
