package doorflowsim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// controlRoutes adds the surface for a simulation that runs as a process of its own. It is JSON in and out
// and has no authentication.
func (s *Sim) controlRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /sim/state", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.state()) })
	mux.HandleFunc("GET /sim/ledger", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Ledger()) })
	mux.HandleFunc("GET /sim/stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Stats()) })
	mux.HandleFunc("POST /sim/clock", s.controlClock)
	mux.HandleFunc("POST /sim/webhook_url", s.controlWebhookURL)
	mux.HandleFunc("POST /sim/faults", s.controlFaults)
	mux.HandleFunc("POST /sim/accounts/{id}/{what}", s.controlAccount)
}

// accountState is one account in the state.
type accountState struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Connected bool   `json:"connected"`
	People    int    `json:"people"`
	Events    int    `json:"events"`
}

// simState never has a token in it.
type simState struct {
	Now        Time           `json:"now"`
	PublicURL  string         `json:"public_url"`
	WebhookURL string         `json:"webhook_url"`
	Waiting    int            `json:"waiting"`
	InFlight   int            `json:"in_flight"`
	Accounts   []accountState `json:"accounts"`
}

func (s *Sim) state() simState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := simState{
		Now: Time{s.now()}, PublicURL: s.origin(), WebhookURL: s.webhookURL,
		Waiting: len(s.queue.waiting), InFlight: s.queue.inFlight,
	}
	for _, id := range []string{AccountA, AccountB} {
		a := s.accounts[id]
		st.Accounts = append(st.Accounts, accountState{
			ID: id, Name: a.name, Connected: len(s.grants.live[id]) > 0, People: len(a.people), Events: len(a.events),
		})
	}
	return st
}

func (s *Sim) controlClock(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Advance string `json:"advance"`
	}
	if !read(w, r, &in) {
		return
	}
	d, err := time.ParseDuration(in.Advance)
	if err != nil {
		fail(http.StatusBadRequest, "bad_request", "advance is not a duration such as 90s").write(w)
		return
	}
	s.Advance(d)
	writeJSON(w, http.StatusOK, s.state())
}

func (s *Sim) controlWebhookURL(w http.ResponseWriter, r *http.Request) {
	var in struct {
		URL string `json:"url"`
	}
	if read(w, r, &in) {
		s.SetWebhookURL(in.URL)
		writeJSON(w, http.StatusOK, s.state())
	}
}

// controlAccount does something to one account: events takes an EventSpec or a list of them, which becomes
// one webhook, random lets something plausible happen, expire and revoke end tokens.
func (s *Sim) controlAccount(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	s.mu.Lock()
	known := s.accounts[id] != nil
	s.mu.Unlock()
	if !known {
		notFound().write(w)
		return
	}
	switch r.PathValue("what") {
	case "events":
		var specs oneOrMore
		if read(w, r, &specs) {
			created(s.EmitBatch(id, specs)).write(w)
		}
	case "random":
		created(s.Emit(id, s.Random(id))).write(w)
	case "expire":
		s.ExpireAccessTokens(id)
		done().write(w)
	case "revoke":
		s.RevokeGrant(id)
		done().write(w)
	default:
		notFound().write(w)
	}
}

// oneOrMore accepts a lone object for a list of one.
type oneOrMore []EventSpec

// UnmarshalJSON reads either form.
func (o *oneOrMore) UnmarshalJSON(raw []byte) error {
	if bytes.HasPrefix(raw, []byte("{")) {
		*o = make([]EventSpec, 1)
		return json.Unmarshal(raw, &(*o)[0])
	}
	return json.Unmarshal(raw, (*[]EventSpec)(o))
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		badBody().write(w)
		return false
	}
	return true
}
