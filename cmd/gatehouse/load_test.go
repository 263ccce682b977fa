package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/doorflow"
)

// nowhere is DoorFlow's API when no simulator runs. Nothing is fetched from there, because no account is
// connected.
const nowhere = "http://127.0.0.1:9"

// webhook is one request: its items' resource ids, and the body that it keeps through all retries.
type webhook struct {
	ids  []string
	acks []string
	body string
}

// load sends signed webhooks as fast as they are answered, over a number of connections, and as DoorFlow
// does sends again what was not answered 200, until it is.
type load struct {
	api     string // what the notifications point at
	account string
	client  *http.Client

	next     atomic.Int64
	requests atomic.Int64 // answered 200

	mu       sync.Mutex
	sent     map[string]bool
	stored   map[string]bool // answered 200
	statuses map[int]int     // 0: no answer
	refusals []http.Header   // of answers other than 200
	acks     []string        // ack tokens of what was answered 200

	stopped context.CancelFunc
	senders sync.WaitGroup
}

func newLoad() *load {
	l := &load{
		api: nowhere, account: "Lo4dAc", sent: map[string]bool{}, stored: map[string]bool{}, statuses: map[int]int{},
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	l.next.Store(800_000_000)
	return l
}

// begin starts the senders, which share the gateways.
func (l *load) begin(t testing.TB, senders int, gateways ...*gateway) {
	ctx, stop := context.WithCancel(context.Background())
	l.stopped = stop
	for i := range senders {
		l.senders.Go(func() { l.run(ctx, i, gateways) })
	}
	t.Cleanup(l.end)
}

// end stops the senders. What has no answer yet stays without.
func (l *load) end() {
	l.stopped()
	l.senders.Wait()
	l.client.CloseIdleConnections()
}

// run is one sender. It turns to the next gateway with every request, and with every retry.
func (l *load) run(ctx context.Context, at int, gateways []*gateway) {
	for ctx.Err() == nil {
		at = l.insist(ctx, l.webhook(), at+1, gateways)
	}
}

// insist sends a webhook until it is stored or ctx ends, and returns which gateway was asked last.
func (l *load) insist(ctx context.Context, w *webhook, at int, gateways []*gateway) int {
	for ctx.Err() == nil {
		status, err := l.send(ctx, gateways[at%len(gateways)].url, w)
		if err == nil && status == http.StatusOK {
			break
		}
		at++
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond): // do not spin on a closed port
		}
	}
	return at
}

// webhook makes a request that nobody has sent before: mostly one notification, sometimes several.
func (l *load) webhook() *webhook {
	n := 1
	if rand.IntN(10) == 0 {
		n = 2 + rand.IntN(4)
	}
	w := &webhook{}
	var items []string
	for range n {
		id := strconv.FormatInt(l.next.Add(1), 10)
		ack := "A" + strconv.FormatUint(rand.Uint64()|1<<63, 36)[:11]
		w.ids, w.acks = append(w.ids, id), append(w.acks, ack)
		items = append(items, notification(l.api, l.account, id, ack))
	}
	w.body = "[" + strings.Join(items, ",") + "]"
	return w
}

func notification(api, account, id, ack string) string {
	return fmt.Sprintf(`{"action":"CREATE","resource":"%s/api/3/events/%s?ack_token=%s","resource_type":"Event","resource_id":"%s","account_id":"%s","ack_token":"%s"}`,
		api, id, ack, id, account, ack)
}

func (l *load) send(ctx context.Context, url string, w *webhook) (int, error) {
	l.mu.Lock()
	for _, id := range w.ids {
		l.sent[id] = true
	}
	l.mu.Unlock()
	status, header, err := post(ctx, l.client, url, w.body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses[status]++
	switch {
	case status == http.StatusOK:
		l.requests.Add(1)
		for _, id := range w.ids {
			l.stored[id] = true
		}
		l.acks = append(l.acks, w.acks...)
	case err == nil:
		l.refusals = append(l.refusals, header)
	}
	return status, err
}

// post signs a body and sends it. Only an answer that came whole counts.
func post(ctx context.Context, client *http.Client, url, body string) (int, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/webhooks/doorflow", strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	sign(req, body)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, resp.Header, nil
}

// confirmed are the ack tokens of what was answered 200.
func (l *load) confirmed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acks)
}

// sign sets the headers that DoorFlow's webhooks have.
func sign(req *http.Request, body string) {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(doorflow.TimestampHeader, timestamp)
	req.Header.Set(doorflow.SignatureHeader, doorflow.Sign([]byte(webhookSecret), timestamp, []byte(body)))
}

// awaitAnswers lets so many more requests be answered 200.
func (l *load) awaitAnswers(t testing.TB, n int64) {
	t.Helper()
	want := l.requests.Load() + n
	eventually(t, 30*time.Second, func() string {
		if got := l.requests.Load(); got < want {
			return fmt.Sprintf("%d requests were answered 200, want %d", got, want)
		}
		return ""
	})
}

// seen is what stands in the stream: how often each resource was notified, by id.
type seen struct {
	notified map[string]int
	events   map[string]int
	origins  map[string]int // of events
	messages int
	bytes    bytes.Buffer // all messages, one after the other
}

// missing counts what was answered 200 and is not in the stream.
func (l *load) missing(s *seen) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for id := range l.stored {
		if s.notified[id] == 0 {
			n++
		}
	}
	return n
}

// verify checks the promise: what was answered 200 is in the stream exactly once; what was sent without an
// answer at most once; and nothing else at all. others are ids that somebody else may have sent.
func (l *load) verify(t testing.TB, s *seen, others map[string]bool) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	lost, doubled, foreign := 0, 0, 0
	for id := range l.stored {
		if s.notified[id] == 0 {
			lost++
		}
	}
	for id, n := range s.notified {
		if n > 1 {
			doubled++
		}
		if !l.sent[id] && !others[id] {
			foreign++
		}
	}
	if len(l.stored) == 0 {
		t.Error("nothing was answered 200: the test proves nothing")
	}
	if lost+doubled+foreign > 0 {
		t.Errorf("of %d notifications answered 200, %d are not in the stream; %d are there more than once; %d were never sent",
			len(l.stored), lost, doubled, foreign)
	}
	t.Logf("%d requests answered 200 with %d notifications; %d messages in the stream; answers by status (0: none): %v",
		l.requests.Load(), len(l.stored), s.messages, l.statuses)
}
