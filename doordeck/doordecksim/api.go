package doordecksim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

// call is one API request after its token was checked. Handlers run with s.mu held and with the body already
// read, so that a slow client holds up nobody.
type call struct {
	sim     *Sim
	r       *http.Request
	version int
	query   url.Values
	body    []byte
	now     time.Time
	token   *token // nil on a route without one
	user    *user  // whom the token is for
	after   func() // runs when the lock is free again
}

// reply is what a handler answers.
type reply struct {
	status int
	header http.Header
	body   any // nil for none, a string for text, everything else becomes JSON
}

// apiError is the error body, which has the shape of Dropwizard's.
type apiError struct {
	Code    json.Number `json:"code"`
	Message *string     `json:"message"`
}

func fail(status int, message string) reply {
	return reply{status: status, body: apiError{number(status), &message}}
}

func badRequest(message string) reply { return fail(http.StatusBadRequest, message) }

func notFound(message string) reply { return fail(http.StatusNotFound, message) }

func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

// unauthorized never says what is wrong. A scheme other than Bearer would keep an SDK from refreshing.
func unauthorized() reply {
	answer := fail(http.StatusUnauthorized, "HTTP 401 Unauthorized")
	answer.header = http.Header{"Www-Authenticate": {"Bearer"}}
	return answer
}

func (p reply) write(w http.ResponseWriter, kind string) {
	for name, values := range p.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	switch body := p.body.(type) {
	case nil:
		w.WriteHeader(p.status)
	case string:
		setDefault(w.Header(), "Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.status)
		io.WriteString(w, body) //nolint:errcheck // the client has gone
	default:
		setDefault(w.Header(), "Content-Type", kind)
		w.WriteHeader(p.status)
		json.NewEncoder(w).Encode(body) //nolint:errcheck // the client has gone
	}
}

func setDefault(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}

// refuse answers what reached no route.
func (s *Sim) refuse(w http.ResponseWriter, status int, message string) {
	s.faults.dress(fail(status, message)).write(w, plainJSON)
}

// operation checks what all operations have in common and runs one.
func (s *Sim) operation(route Route) http.Handler {
	name := route.Name()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version, acceptable := chooseVersion(r.Header.Values("Accept"), route.Versions)
		if !acceptable {
			s.refuse(w, http.StatusNotAcceptable, "none of the accepted types is served here")
			return
		}
		finish := s.counts.begin(name)
		defer finish()
		plan := s.faults.plan(name)
		if !pause(r.Context(), plan.before) {
			return
		}
		if plan.early != nil {
			s.interfere(w, name, *plan.early)
			return
		}
		answer := s.run(r, route, version)
		if !pause(r.Context(), plan.after) {
			return
		}
		if plan.late != nil {
			s.interfere(w, name, *plan.late)
			return
		}
		s.counts.answered(answer.status)
		s.faults.dress(answer).write(w, contentType(version))
	})
}

// interfere answers as a fault has it.
func (s *Sim) interfere(w http.ResponseWriter, route string, f Fault) {
	s.o.Log.Info("fault", "route", route, "status", f.Status, "cut", f.Cut)
	s.counts.add(func(c *Stats) { c.Faults++ })
	if f.Cut {
		panic(http.ErrAbortHandler) // closes the connection
	}
	s.counts.answered(f.Status)
	answer := s.faults.dress(fail(f.Status, http.StatusText(f.Status)))
	if f.Body != "" {
		answer.body = f.Body
		answer.header = http.Header{"Content-Type": {plainJSON}}
	}
	for name, values := range f.Header {
		if answer.header == nil {
			answer.header = http.Header{}
		}
		answer.header[http.CanonicalHeaderKey(name)] = values
	}
	answer.write(w, plainJSON)
}

// run reads the body and lets the handler answer, with the answer encoded while the lock is held: it may point
// into the state.
func (s *Sim) run(r *http.Request, route Route, version int) reply {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return fail(http.StatusRequestEntityTooLarge, "the body is too large")
		}
		return badRequest("the body could not be read")
	}
	c := &call{sim: s, r: r, version: version, query: r.URL.Query(), body: body}
	answer := s.answer(c, route)
	if c.after != nil {
		c.after()
	}
	return answer
}

func (s *Sim) answer(c *call, route Route) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	c.now = s.now()
	if route.token != withNone {
		if reason := c.authenticate(route.token); reason != "" {
			s.counts.add(func(st *Stats) { st.Unauthorized++ })
			s.o.Log.Info("token refused", "route", route.Name(), "reason", reason)
			return unauthorized()
		}
	}
	answer := route.handle(c)
	if _, isText := answer.body.(string); !isText && answer.body != nil {
		raw, err := json.Marshal(answer.body)
		if err != nil {
			return fail(http.StatusInternalServerError, "the answer could not be encoded")
		}
		if _, isError := answer.body.(apiError); !isError { // those are dressed later
			answer.body = json.RawMessage(raw)
		}
	}
	s.o.Log.Debug("request", "route", route.Name(), "status", answer.status)
	return answer
}

// pause waits for a fault's delay; false means that the client has gone meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// getTime is the only thing that needs no token and no version.
func getTime(c *call) reply { return ok(map[string]int64{"now": c.now.UnixMilli()}) }
