package doorflowsim

import (
	"html/template"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Rotation says what a refresh does to the tokens it was made with.
type Rotation int

const (
	// RotateImmediate revokes the old refresh token and the old access token in the refresh.
	RotateImmediate Rotation = iota
	// RotateGrace revokes them when the new access token is first used.
	RotateGrace
)

// Options describe the one OAuth application that the simulated cloud knows. The zero value of every field
// has a usable meaning.
type Options struct {
	ClientID     string // default "sim-client"
	AppName      string // what the consent page calls the application; default ClientID
	ClientSecret string // default "sim-client-secret"
	// WebhookSecret keys the webhook signature; "" means ClientSecret.
	WebhookSecret string
	// WebhookURL receives the webhooks of all accounts; "" means that none are queued.
	WebhookURL string
	// RedirectURIs are compared byte for byte.
	RedirectURIs []string
	// PublicURL is the origin that webhooks point at. "" means the origin of the first request to the
	// token endpoint or the API.
	PublicURL      string
	Rotation       Rotation
	TokenLifetime  time.Duration   // default 1 h
	Retries        []time.Duration // waits between attempts; nil means 10 s, 1 min, 5 min, 30 min
	WebhookTimeout time.Duration   // default 10 s
	// ReuseTimestamp lets retries keep the first Timestamp and Signature.
	ReuseTimestamp bool
	// AddResourceURL sends the URL a second time under the name that the guides use.
	AddResourceURL bool
	// SkipConsent redirects from the authorize endpoint at once, to AccountA or to the account named in
	// the query parameter "account", which is this fixture's own.
	SkipConsent bool
	Log         *slog.Logger // nil discards
	// Client sends the webhooks; nil means one of our own, without proxy and without redirects.
	Client *http.Client
}

// Sim is the simulated cloud. Its methods may be called from any goroutine.
type Sim struct {
	o       Options
	handler http.Handler
	consent *template.Template
	faults  *Faults
	counts  *counters
	wake    chan struct{} // one slot: tells Run to look at the queue again

	mu                    sync.Mutex // guards everything below
	offset                time.Duration
	publicURL, webhookURL string
	accounts              map[string]*account
	grants                grants
	codes                 map[string]authCode
	queue                 queue
	nextID                int64
	random                *rand.Rand
}

// New returns a Sim with the two seeded accounts. Nothing runs until Run is called.
func New(o Options) *Sim {
	o = withDefaults(o)
	s := &Sim{
		o:          o,
		consent:    consentPage(),
		counts:     newCounters(),
		wake:       make(chan struct{}, 1),
		publicURL:  strings.TrimSuffix(o.PublicURL, "/"),
		webhookURL: o.WebhookURL,
		accounts:   seedAccounts(),
		grants:     newGrants(),
		codes:      map[string]authCode{},
		queue:      newQueue(),
		nextID:     firstID,
		random:     rand.New(rand.NewPCG(1, 1)), // a demonstration looks the same each time
	}
	s.faults = &Faults{released: s.releaseHeld}
	s.handler = s.routes()
	return s
}

func withDefaults(o Options) Options {
	if o.ClientID == "" {
		o.ClientID = "sim-client"
	}
	if o.AppName == "" {
		o.AppName = o.ClientID
	}
	if o.ClientSecret == "" {
		o.ClientSecret = "sim-client-secret"
	}
	if o.WebhookSecret == "" {
		o.WebhookSecret = o.ClientSecret
	}
	if o.TokenLifetime <= 0 {
		o.TokenLifetime = time.Hour
	}
	if o.Retries == nil {
		o.Retries = []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute}
	}
	if o.WebhookTimeout <= 0 {
		o.WebhookTimeout = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// ServeHTTP serves the OAuth endpoints, the API and the control surface.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// SetPublicURL sets the origin that webhooks sent from now on point at.
func (s *Sim) SetPublicURL(origin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publicURL = strings.TrimSuffix(origin, "/")
}

// SetWebhookURL sets where webhooks go from now on; "" drops what is waiting and queues no more.
func (s *Sim) SetWebhookURL(url string) {
	s.mu.Lock()
	s.webhookURL = url
	s.purge()
	s.mu.Unlock()
	s.poke()
}

// Faults returns the fault switches.
func (s *Sim) Faults() *Faults { return s.faults }

// Now is the simulated cloud's time.
func (s *Sim) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// now is cut to milliseconds because that is what the API shows. It needs s.mu, as does every unexported
// method that does not lock by itself.
func (s *Sim) now() time.Time {
	return time.Now().Add(s.offset).UTC().Truncate(time.Millisecond)
}

// Advance moves the clock forward. Retries that become due are sent at once if Run is running.
func (s *Sim) Advance(d time.Duration) {
	s.mu.Lock()
	s.offset += d
	s.mu.Unlock()
	s.poke()
}

// poke makes Run look at the queue. A full slot means that it is going to anyway.
func (s *Sim) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// newID numbers events, admission requests and reservations.
func (s *Sim) newID() int64 {
	id := s.nextID
	s.nextID++
	return id
}

// origin is what a resource URL starts with. Before anybody has told us, it is a name that cannot resolve.
func (s *Sim) origin() string {
	if s.publicURL == "" {
		return "http://doorflowsim.invalid"
	}
	return s.publicURL
}

// noteOrigin remembers under which name clients reach us.
func (s *Sim) noteOrigin(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.publicURL != "" || r.Host == "" {
		return
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	s.publicURL = scheme + r.Host
}
