package doorflowsim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// call is one API request after its token and scope were checked. Handlers run with s.mu held, and with
// the body already read, so that a slow client holds up nobody.
type call struct {
	sim     *Sim
	account *account
	r       *http.Request
	query   url.Values
	body    []byte
	now     Time
}

// reply is what a handler answers.
type reply struct {
	status int
	header http.Header
	body   any // nil for none, a string for text, everything else becomes JSON
}

// apiError is the common error body of the API.
type apiError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func fail(status int, code, description string) reply {
	return reply{status: status, body: apiError{code, description}}
}

func notFound() reply {
	return fail(http.StatusNotFound, "not_found", "The resource could not be found")
}

// invalid is a 422 for one field.
func invalid(field string, problems ...string) reply {
	return reply{status: http.StatusUnprocessableEntity, body: map[string]any{
		"error": "validation_failed", "errors": map[string][]string{field: problems},
	}}
}

func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

func created(body any) reply { return reply{status: http.StatusCreated, body: body} }

func done() reply { return ok(map[string]string{"result": "ok"}) }

func (p reply) write(w http.ResponseWriter) {
	for name, values := range p.header {
		w.Header()[name] = values
	}
	if text, isText := p.body.(string); isText {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.status)
		io.WriteString(w, text) //nolint:errcheck // the client has gone
		return
	}
	writeJSON(w, p.status, p.body)
}

// normalised accepts the optional .json suffix and the alias /person for /people.
func normalised(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimSuffix(r.URL.Path, ".json")
		if rest, isAlias := strings.CutPrefix(path, "/api/3/person/"); isAlias {
			path = "/api/3/people/" + rest
		}
		r2 := r.Clone(r.Context())
		r2.URL.Path, r2.URL.RawPath = path, ""
		next.ServeHTTP(w, r2)
	})
}

// operation checks what all operations have in common and runs one.
func (s *Sim) operation(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.noteOrigin(r)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			status := http.StatusBadRequest
			if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
				status = http.StatusRequestEntityTooLarge
			}
			fail(status, "bad_request", "The request body could not be read").write(w)
			return
		}
		s.mu.Lock()
		g, reason := s.grants.use(bearer(r), s.now())
		s.mu.Unlock()
		if g == nil {
			s.unauthorized(w, "unauthorized", reason)
			return
		}
		finish := s.counts.begin(g.account, route.Method+" "+route.Pattern)
		defer finish()
		if s.interfere(w, r) {
			return
		}
		if !allows(g.scopes, route.Scopes) {
			s.counts.add(func(c *Stats) { c.Forbidden++ })
			fail(http.StatusForbidden, "forbidden", "Access to this resource requires scope "+
				strings.Join(route.Scopes, " or ")).write(w)
			return
		}
		s.run(w, r, route, g.account, body)
	})
}

// interfere applies the fault switches; true means that the request has been answered or its client left.
func (s *Sim) interfere(w http.ResponseWriter, r *http.Request) bool {
	if !pause(r.Context(), s.faults.apiDelay()) {
		return true
	}
	if f := s.faults.failAPI(r.URL.Path); f != nil {
		if f.status == http.StatusTooManyRequests {
			s.counts.add(func(c *Stats) { c.RateLimited++ })
		}
		f.write(w)
		return true
	}
	return false
}

func (s *Sim) run(w http.ResponseWriter, r *http.Request, route Route, account string, body []byte) {
	s.mu.Lock()
	a := s.accounts[account]
	if a == nil { // a grant made by a test for an account that is not seeded
		s.mu.Unlock()
		notFound().write(w)
		return
	}
	answer := route.handle(&call{sim: s, account: a, r: r, query: r.URL.Query(), body: body, now: Time{s.now()}})
	if _, isText := answer.body.(string); !isText {
		// Encoded under the lock: the body may point into the account.
		raw, err := json.Marshal(answer.body)
		if err != nil {
			answer = fail(http.StatusInternalServerError, "internal_server_error", "The reply could not be encoded")
		} else {
			answer.body = json.RawMessage(raw)
		}
	}
	s.mu.Unlock()
	s.o.Log.Debug("api request", "method", route.Method, "pattern", route.Pattern, "account", account, "status", answer.status)
	answer.write(w)
}

func (s *Sim) unauthorized(w http.ResponseWriter, code, reason string) {
	s.counts.add(func(c *Stats) { c.Unauthorized++ })
	w.Header().Set("WWW-Authenticate", `Bearer realm="DoorFlow", error="invalid_token", error_description="`+reason+`"`)
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusUnauthorized, apiError{code, reason})
}

func writeOAuthError(w http.ResponseWriter, e *oauthError) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("WWW-Authenticate", `Bearer realm="DoorFlow", error="`+e.code+`"`)
	writeJSON(w, e.status, apiError{e.code, e.description})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client has gone
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

// id is the numeric path parameter of that name; something else is 0, which nothing has.
func (c *call) id(name string) int64 {
	n, err := strconv.ParseInt(c.r.PathValue(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// decode reads a body that may be wrapped in an object under the given name. Both forms are in DoorFlow's
// own documents.
func (c *call) decode(wrapper string, into any) error {
	body := c.body
	var outer map[string]json.RawMessage
	if err := json.Unmarshal(body, &outer); err != nil {
		return err
	}
	if inner, wrapped := outer[wrapper]; wrapped {
		body = inner
	}
	return json.Unmarshal(body, into)
}

func badBody() reply {
	return fail(http.StatusBadRequest, "bad_request", "The request body could not be parsed")
}
