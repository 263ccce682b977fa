// Command receiver takes Gatehouse's deliveries: at /webhooks by the Standard Webhooks headers, at /doorflow by those
// that DoorFlow's own webhooks have. It prints each message once.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"gatehouse/standardwebhooks"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

func run() error {
	secrets, err := parseSecrets(os.Getenv("WEBHOOK_SECRETS"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8095"))
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	seen := newSeen(10_000)
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks", &receiver{verify, secrets, seen})
	mux.Handle("POST /doorflow", &receiver{verifyDoorFlow, secrets, seen})
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	return server.Serve(listener)
}

type receiver struct {
	verify  func(http.Header, []byte, []standardwebhooks.Secret) (string, error)
	secrets []standardwebhooks.Secret
	seen    *seen
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 1<<20)) // the bytes as they came: they are what is signed
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	id, err := r.verify(req.Header, body, r.secrets)
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err) // for you; the sender learns nothing from the answer
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	var message struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(body, &message); err != nil {
		http.Error(w, "unauthorized", http.StatusUnauthorized)
		return
	}
	// A real receiver puts the message into its database or queue here, with the id as a unique key, and works on it
	// after it has answered.
	if r.seen.first(id) {
		fmt.Println("received", id, message.Type)
	}
	w.WriteHeader(http.StatusNoContent)
}

// seen remembers the last ids.
type seen struct {
	mu   sync.Mutex
	ids  map[string]bool
	ring []string
	next int
}

func newSeen(n int) *seen { return &seen{ids: map[string]bool{}, ring: make([]string, n)} }

// first tells whether an id comes for the first time.
func (s *seen) first(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids[id] {
		return false
	}
	delete(s.ids, s.ring[s.next])
	s.ids[id], s.ring[s.next] = true, id
	s.next = (s.next + 1) % len(s.ring)
	return true
}
