package doorflowsim_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/doorflow"
	"gatehouse/doorflow/doorflowsim"
)

// hook is a webhook as it arrived.
type hook struct {
	header http.Header
	body   string
}

func (h hook) items(t *testing.T) []map[string]string {
	t.Helper()
	var items []map[string]string
	if err := json.Unmarshal([]byte(h.body), &items); err != nil {
		t.Fatalf("decoding %s: %v", h.body, err)
	}
	return items
}

// signed recomputes the signature without the code under test.
func (h hook) signed() bool {
	m := hmac.New(sha256.New, []byte(webhookSecret))
	fmt.Fprintf(m, "%s.%s", h.header.Get("Timestamp"), h.body)
	return hex.EncodeToString(m.Sum(nil)) == h.header.Get("Signature")
}

// receiver records webhooks and answers with the statuses given, then with 200.
type receiver struct {
	mu       sync.Mutex
	statuses []int
	hooks    []hook
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = append(r.hooks, hook{req.Header, string(body)})
	if len(r.statuses) > 0 {
		w.WriteHeader(r.statuses[0])
		r.statuses = r.statuses[1:]
	}
}

func (r *receiver) all() []hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.hooks)
}

// listen gives the cloud a receiver, a grant for account A and a running Run.
func (c *cloud) listen(statuses ...int) (*receiver, string) {
	c.t.Helper()
	r := &receiver{statuses: statuses}
	server := httptest.NewServer(r)
	c.t.Cleanup(server.Close)
	c.SetWebhookURL(server.URL + "/hooks/doorflow")
	access, _ := c.Grant(doorflowsim.AccountA, events, "account.person")
	c.run()
	return r, access
}

func pinUse() doorflowsim.EventSpec {
	return doorflowsim.EventSpec{Code: 11, PersonID: 4821, ChannelID: 5012, CredentialsNumber: "604219"}
}

func TestWebhookBytes(t *testing.T) {
	c := newCloud(t)
	r, _ := c.listen()
	e := c.Emit(doorflowsim.AccountA, pinUse())
	c.flush()
	h := r.all()[0]
	ack := c.Ledger()[0].AckToken
	want := fmt.Sprintf(`[{"action":"CREATE","resource":"%s/api/3/events/%d?ack_token=%s","resource_type":"Event",`+
		`"resource_id":"%d","account_id":"hX9aQ2","ack_token":"%[3]s"}]`, c.url, e.ID, ack, e.ID)
	if diff := cmp.Diff(want, h.body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if !h.signed() {
		t.Error("the signature is not that of timestamp, full stop and body")
	}
	sent, err := strconv.ParseInt(h.header.Get("Timestamp"), 10, 64)
	if age := c.Now().Unix() - sent; err != nil || age < 0 || age > 30 {
		t.Errorf("Timestamp = %q", h.header.Get("Timestamp"))
	}
	h.header.Del("Content-Length")
	var names []string
	for name := range h.header {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"Content-Type", "Signature", "Timestamp"}, names); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if len(ack) != 9 {
		t.Errorf("ack_token = %q, want nine characters", ack)
	}
}

// TestSignatureVectors pins the signature itself with values computed by other programs.
func TestSignatureVectors(t *testing.T) {
	const v1 = `[{"action":"CREATE","resource":"https://api.doorflow.com/api/3/events/700000001?ack_token=Qk7rT2xLp","resource_type":"Event","resource_id":"700000001","account_id":"hX9aQ2","ack_token":"Qk7rT2xLp"}]`
	for _, test := range []struct{ key, timestamp, body, want string }{
		{webhookSecret, "1767225600", v1, "71a83e74ed7f460f0f0f6d1933ebe6eb2ba20a410f64d61bb15bbc8e854c9a43"},
		{webhookSecret, "1767225601", v1, "2aec7a58e0c6a1d56405f4c9e8350351672e0b130892d21949f0d45f8c005a43"},
		{clientSecret, "1767225600", v1, "0e10e7673cb08bcdee550d9341c53cb4bb3a18d9d31b775b89a53e09ce3e3bce"},
		{webhookSecret, "1767225600", "[]", "975cbf5c51d720fc80700adbb8bc76284a5514680dd252b17c823b2fcf5598b4"},
	} {
		if got := doorflow.Sign([]byte(test.key), test.timestamp, []byte(test.body)); got != test.want {
			t.Errorf("signature of %s = %s, want %s", test.body, got, test.want)
		}
	}
}

func TestLedgerTellsDeliveredFromAcknowledged(t *testing.T) {
	c := newCloud(t)
	_, access := c.listen()
	e := c.EmitBatch(doorflowsim.AccountA, []doorflowsim.EventSpec{pinUse(), {Code: 31, ChannelID: 5012, Perimeter: true}})
	c.flush()
	ledger := c.Ledger()
	want := []doorflowsim.LedgerEntry{
		{Account: "hX9aQ2", ResourceType: "Event", ResourceID: fmt.Sprint(e[0].ID), Action: "CREATE", Delivered: true, Attempts: 1, LastStatus: 200},
		{Account: "hX9aQ2", ResourceType: "PerimeterEvent", ResourceID: fmt.Sprint(e[1].ID), Action: "CREATE", Delivered: true, Attempts: 1, LastStatus: 200},
	}
	for i := range want {
		want[i].AckToken = ledger[i].AckToken
	}
	if diff := cmp.Diff(want, ledger); diff != "" {
		t.Fatalf("ledger (-want +got):\n%s", diff)
	}
	other, _ := c.Grant(doorflowsim.AccountB, events)
	ack := "?ack_token=" + ledger[0].AckToken
	c.api(access, "GET", eventPath(e[0]), "")     // without the token
	c.api(access, "GET", eventPath(e[1])+ack, "") // another's token
	c.api(other, "GET", eventPath(e[0])+ack, "")  // another's account
	if c.Ledger()[0].Acknowledged || c.Ledger()[1].Acknowledged {
		t.Fatal("acknowledged by a fetch that is none")
	}
	wantStatus(t, c.api(access, "GET", eventPath(e[0])+ack, ""), http.StatusOK)
	if err := c.WaitLedger(t.Context(), func(l []doorflowsim.LedgerEntry) bool { return l[0].Acknowledged }); err != nil {
		t.Error(err)
	}
}

func TestRetries(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("ReuseTimestamp=%t", reuse), func(t *testing.T) {
			c := newCloud(t, func(o *doorflowsim.Options) { o.ReuseTimestamp = reuse })
			r, _ := c.listen(500, 204, 301)
			c.Emit(doorflowsim.AccountA, pinUse())
			for attempt, wait := range []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute} {
				c.settle()
				if got := len(r.all()); got != attempt+1 {
					t.Fatalf("%d attempts, want %d", got, attempt+1)
				}
				c.Advance(wait)
			}
			c.flush()
			hooks := r.all()
			for _, h := range hooks[1:] {
				if h.body != hooks[0].body || !h.signed() {
					t.Errorf("retry has body %s, signed %t", h.body, h.signed())
				}
				if same := h.header.Get("Timestamp") == hooks[0].header.Get("Timestamp"); same != reuse {
					t.Errorf("retry keeps the timestamp = %t, want %t", same, reuse)
				}
			}
			if l := c.Ledger()[0]; !l.Delivered || l.Attempts != 4 || l.LastStatus != 200 {
				t.Errorf("ledger = %+v", l)
			}
		})
	}
}

func TestRetriesEnd(t *testing.T) {
	c := newCloud(t, func(o *doorflowsim.Options) { o.Retries = []time.Duration{time.Second} })
	c.listen(500, 500)
	c.Emit(doorflowsim.AccountA, pinUse())
	c.settle()
	c.Advance(time.Second)
	c.flush()
	if l := c.Ledger()[0]; l.Delivered || l.Attempts != 2 || l.LastStatus != 500 {
		t.Errorf("ledger = %+v", l)
	}
	if s := c.Stats(); s.WebhookRequests != 2 || s.WebhookFailures != 2 {
		t.Errorf("stats = %+v", s)
	}
}

// TestRetrySchedule runs in fake time, so nothing has to be advanced and nothing is waited for.
func TestRetrySchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		sim := doorflowsim.New(doorflowsim.Options{
			WebhookURL: "http://receiver.test/hooks",
			Client: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
				at = append(at, time.Since(began).Round(time.Second))
				return nil, io.ErrUnexpectedEOF
			})},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- sim.Run(ctx) }()
		sim.Grant(doorflowsim.AccountA, events)
		sim.Emit(doorflowsim.AccountA, pinUse())
		if err := sim.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		s, m := time.Second, time.Minute
		if diff := cmp.Diff([]time.Duration{0, 10 * s, 70 * s, 6*m + 10*s, 36*m + 10*s}, at); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWebhooksNeedAGrant(t *testing.T) {
	c := newCloud(t)
	r, _ := c.listen(500)
	c.Grant(doorflowsim.AccountB, "account.channel.readonly")
	c.Emit(doorflowsim.AccountB, doorflowsim.EventSpec{Code: 11})
	c.CredentialChanged(doorflowsim.AccountB, 7315, "k3JdW8z", "UPDATE")
	if got := c.Ledger(); len(got) != 0 {
		t.Errorf("ledger = %+v, want nothing for a grant without the scopes", got)
	}
	c.Emit(doorflowsim.AccountA, pinUse())
	c.settle() // the first attempt failed
	c.ExpireAccessTokens(doorflowsim.AccountA)
	c.Emit(doorflowsim.AccountA, pinUse()) // an expired access token stops nothing
	c.settle()
	c.RevokeGrant(doorflowsim.AccountA)
	c.flush() // the retry is gone, although its time has not come
	c.Emit(doorflowsim.AccountA, pinUse())
	c.flush()
	if got := len(r.all()); got != 2 {
		t.Errorf("%d requests, want 2", got)
	}
	l := c.Ledger()
	if len(l) != 2 || !l[0].Dropped || l[0].Delivered || l[1].Dropped || !l[1].Delivered {
		t.Errorf("ledger = %+v", l)
	}
}

func TestCredentialWebhooks(t *testing.T) {
	c := newCloud(t)
	_, access := c.listen()
	c.api(access, "POST", "/api/3/people/4902/credentials", `{"person_credential":{"credential_type_id":8033,"value":"******"}}`)
	id := c.Ledger()[0].ResourceID
	c.api(access, "PUT", "/api/3/people/4902/credentials/"+id, `{"person_credential":{"value":"9182"}}`)
	c.api(access, "DELETE", "/api/3/people/4902/credentials/"+id, "")
	c.api(access, "DELETE", "/api/3/people/4857", "") // has two credentials
	c.flush()
	var got []string
	for _, l := range c.Ledger() {
		got = append(got, l.ResourceType+" "+l.Action+" "+l.ResourceID)
	}
	want := []string{
		"PersonCredential CREATE " + id, "PersonCredential UPDATE " + id, "PersonCredential DESTROY " + id,
		"PersonCredential DESTROY W5qNh3D", "PersonCredential DESTROY Y9sBf6G",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	ack := c.Ledger()[2].AckToken
	wantStatus(t, c.api(access, "GET", "/api/3/people/4902/credentials/"+id+"?ack_token="+ack, ""), http.StatusNotFound)
	if !c.Ledger()[2].Acknowledged {
		t.Error("asking for what was destroyed does not count as acknowledgement")
	}
}

func TestRandomIsPlausible(t *testing.T) {
	c := newCloud(t)
	count := map[int]int{}
	for range 1000 {
		spec := c.Random(doorflowsim.AccountB)
		count[spec.Code]++
		if spec.Code == 11 && (spec.PersonID == 0 || spec.CredentialsNumber == "") {
			t.Fatalf("granted to nobody: %+v", spec)
		}
	}
	if count[11] < 600 || count[24] == 0 || count[31] == 0 || count[32] == 0 {
		t.Errorf("codes = %v", count)
	}
}
