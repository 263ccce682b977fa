package doordecksim

import (
	"encoding/json"
	"maps"
	"net/http"
	"time"
)

// controlRoutes adds the surface for a simulation that runs as a process of its own. It is JSON in and out
// and has no authentication.
func (s *Sim) controlRoutes(mux *http.ServeMux) {
	show := func(pattern string, what func() any) {
		mux.HandleFunc("GET /sim/"+pattern, func(w http.ResponseWriter, _ *http.Request) { ok(what()).write(w, plainJSON) })
	}
	show("state", func() any { return s.state() })
	show("ledger", func() any { return s.Ledger() })
	show("stats", func() any { return s.Stats() })
	show("codes", func() any { return s.Codes() })
	mux.HandleFunc("POST /sim/clock", s.controlClock)
	mux.HandleFunc("POST /sim/faults", s.controlFaults)
	mux.HandleFunc("POST /sim/users", s.controlUser)
	mux.HandleFunc("POST /sim/keys", s.controlKey)
	mux.HandleFunc("POST /sim/locks", s.controlLock)
	mux.HandleFunc("GET /sim/locks/{id}/{what}", s.controlLockView)
	mux.HandleFunc("POST /sim/locks/{id}", s.controlLockChange)
	mux.HandleFunc("POST /sim/locks/{id}/users", s.controlAccess)
}

// lockState is one lock in the state.
type lockState struct {
	Lock
	Open    bool `json:"open"`
	Users   int  `json:"users"`
	Unlocks int  `json:"unlocks"`
}

// userState is one person in the state. Their contacts are not shown.
type userState struct {
	ID      string `json:"id"`
	Subject string `json:"subject"`
	Keys    int    `json:"keys"` // verified ephemeral ones
	Codes   int    `json:"codes"`
}

// simState never has a token, a code or a key in it.
type simState struct {
	Now    time.Time   `json:"now"`
	Queued int         `json:"queued"`
	Locks  []lockState `json:"locks"`
	Users  []userState `json:"users"`
}

func (s *Sim) state() (st simState) {
	s.locked(func() {
		now := s.now()
		st = simState{Now: now, Queued: len(s.queue), Locks: []lockState{}, Users: []userState{}}
		for _, l := range s.locks.order {
			shown := lockState{Lock: l.Lock, Open: !l.locked, Users: len(l.Lock.Users), Unlocks: l.unlocks}
			shown.Capabilities = maps.Clone(l.Capabilities)
			st.Locks = append(st.Locks, shown)
		}
		for _, u := range s.people.all {
			u.expire(now)
			st.Users = append(st.Users, userState{u.id, u.subject, len(u.keys), len(u.pending)})
		}
	})
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
		badRequest("advance is not a duration such as 90s").write(w, plainJSON)
		return
	}
	s.Advance(d)
	ok(s.state()).write(w, plainJSON)
}

// controlUser registers a person, or replaces nothing: one that is there already is an error.
func (s *Sim) controlUser(w http.ResponseWriter, r *http.Request) {
	var in User
	if !read(w, r, &in) {
		return
	}
	user, err := s.AddUser(in)
	settled(w, user, err)
}

// controlKey registers a key of an application.
func (s *Sim) controlKey(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Issuer string          `json:"issuer"`
		JWK    json.RawMessage `json:"jwk"`
	}
	if !read(w, r, &in) {
		return
	}
	if in.Issuer == "" {
		in.Issuer = s.issuer()
	}
	key, err := ParseJWK(in.JWK)
	if err == nil {
		err = s.AddKey(in.Issuer, key)
	}
	settled(w, map[string]string{"kid": key.ID}, err)
}

// settled answers with what was made, or says why nothing was.
func settled(w http.ResponseWriter, made any, err error) {
	if err != nil {
		badRequest(err.Error()).write(w, plainJSON)
		return
	}
	reply{status: http.StatusCreated, body: made}.write(w, plainJSON)
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		badRequest("the body is not the JSON that is wanted here").write(w, plainJSON)
		return false
	}
	return true
}
