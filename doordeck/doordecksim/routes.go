package doordecksim

import (
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
)

// maxBody bounds every request body. The longest signed token, a batch of 25 with a chain, has about 30 KiB.
const maxBody = 256 << 10

// access says which token a route wants.
type access int

const (
	withToken   access = iota // an OpenID token or one that Doordeck issued
	withRefresh               // a refresh token
	withNone
)

// Route is one operation of the API, for tests that walk all of them.
type Route struct {
	Method, Pattern string // Pattern as in http.ServeMux, without the method
	Versions        []int  // of the Accept header, lowest first
	token           access
	handle          func(*call) reply
}

// The routes that faults are most often wanted for.
const (
	RouteTime        = "GET /time"
	RouteCertificate = "POST /auth/certificate"
	RouteVerify      = "POST /auth/certificate/verify"
	RouteCheck       = "POST /auth/certificate/check"
	RouteDirectory   = "POST /directory/query"
	RouteShareable   = "GET /device/shareable"
	RouteLock        = "GET /device/{id}"
	RouteLockUsers   = "GET /device/{id}/users"
	RouteExecute     = "POST /device/{id}/execute"
)

// Name is how faults and statistics call a route, such as RouteExecute.
func (r Route) Name() string { return r.Method + " " + r.Pattern }

// Routes lists the API's operations.
func Routes() []Route {
	v := func(versions ...int) []int { return versions }
	return []Route{
		{"GET", "/time", v(1), withNone, getTime},
		{"GET", "/platform/auth", v(1), withToken, echoToken},
		{"POST", "/auth/token", v(1, 2), withNone, login},
		{"POST", "/auth/register", v(1, 2, 3), withNone, register},
		{"POST", "/auth/token/refresh", v(1, 2), withRefresh, refresh},
		{"POST", "/auth/token/destroy", v(1, 2), withToken, logout},
		{"GET", "/account", v(1), withToken, getAccount},
		{"POST", "/auth/certificate", v(1, 2), withToken, certify},
		{"POST", "/auth/certificate/verify", v(1, 2), withToken, sendCode},
		{"POST", "/auth/certificate/check", v(1, 2), withToken, checkCode},
		{"POST", "/directory/query", v(1, 2), withToken, queryDirectory},
		{"POST", "/share/invite/{email}", v(1), withToken, invite},
		{"GET", "/user/{id}", v(1), withToken, getProfile},
		{"GET", "/user/{id}/log", v(2), withToken, userLog},
		{"GET", "/device", v(1, 2, 3), withToken, listLocks},
		{"GET", "/device/favourite", v(1, 2, 3), withToken, listFavourites},
		{"GET", "/device/shareable", v(1), withToken, listShareable},
		{"GET", "/device/{id}", v(1, 2, 3), withToken, getLock},
		{"PUT", "/device/{id}", v(1), withToken, updateLock},
		{"GET", "/device/{id}/users", v(1, 2), withToken, listUsers},
		{"GET", "/device/{id}/log", v(2), withToken, lockLog},
		{"POST", "/device/{id}/execute", v(1, 2, 3), withToken, execute},
	}
}

// routes builds the handler of the whole origin. Methods are told apart here and not by the mux, which would
// answer a wrong one in plain text.
func (s *Sim) routes() http.Handler {
	mux := http.NewServeMux()
	s.controlRoutes(mux)
	byPath := map[string]map[string]http.Handler{}
	for _, route := range Routes() {
		if byPath[route.Pattern] == nil {
			byPath[route.Pattern] = map[string]http.Handler{}
		}
		byPath[route.Pattern][route.Method] = s.operation(route)
	}
	for pattern, methods := range byPath {
		mux.Handle(pattern, s.oneOf(methods))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { s.refuse(w, http.StatusNotFound, "no such path") })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		trimmed := withoutSlash(r)
		if clean := path.Clean(trimmed.URL.Path); clean != trimmed.URL.Path {
			s.refuse(w, http.StatusNotFound, "no such path") // the mux would redirect
			return
		}
		mux.ServeHTTP(w, trimmed)
	})
}

// withoutSlash takes off the trailing slash that Doordeck's documents write and its SDKs do not.
func withoutSlash(r *http.Request) *http.Request {
	if len(r.URL.Path) < 2 || !strings.HasSuffix(r.URL.Path, "/") {
		return r
	}
	r2 := r.Clone(r.Context())
	r2.URL.Path = strings.TrimSuffix(r.URL.Path, "/")
	r2.URL.RawPath = strings.TrimSuffix(r.URL.RawPath, "/")
	return r2
}

func (s *Sim) oneOf(methods map[string]http.Handler) http.Handler {
	allow := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler := methods[r.Method]
		if handler == nil {
			w.Header().Set("Allow", allow)
			s.refuse(w, http.StatusMethodNotAllowed, "this path serves "+allow)
			return
		}
		handler.ServeHTTP(w, r)
	})
}
