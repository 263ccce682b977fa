package webhooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

var (
	// ErrNoEndpoint says that there is no such endpoint, or none that the caller may know of.
	ErrNoEndpoint = errors.New("there is no such endpoint")
	// ErrTooManyEndpoints says that there are as many endpoints as there may be.
	ErrTooManyEndpoints = errors.New("there are too many endpoints")
)

// EndpointsConfig is what Endpoints need.
type EndpointsConfig struct {
	DB    *sqldb.DB
	Log   *events.Log
	Vault *vault.Vault
	// Judge says why nothing may be sent to a URL, as far as can be told without resolving its host: its form, and an
	// address that stands in it. Its error is shown to callers.
	Judge  func(*url.URL) error
	Audit  *audit.Log // for tests of endpoints, which are no changes
	Logger *slog.Logger
	Now    func() time.Time // nil means time.Now
}

// Endpoints are who wants messages. They may be used by many goroutines at once, and by many replicas on one
// database.
type Endpoints struct {
	EndpointsConfig

	trials chan struct{} // under way

	mu      sync.Mutex
	version int64
	known   EndpointSet
}

// NewEndpoints makes them. Nothing is read before it is asked for.
func NewEndpoints(c EndpointsConfig) *Endpoints {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Endpoints{EndpointsConfig: c, version: -1, trials: make(chan struct{}, maxTrials)}
}

// EndpointSet is all endpoints as they were at one moment, but for their health, which may be older.
type EndpointSet struct {
	all     []*Endpoint // by id
	enabled []*Endpoint
}

// Enabled are those that want messages, by id. The list is not to be changed.
func (s EndpointSet) Enabled() []*Endpoint { return s.enabled }

// Get returns one, enabled or not; nil when there is none.
func (s EndpointSet) Get(id string) *Endpoint {
	i, found := slices.BinarySearchFunc(s.all, id, func(e *Endpoint, id string) int { return strings.Compare(e.ID, id) })
	if !found {
		return nil
	}
	return s.all[i]
}

// Current returns all endpoints as they are now. It reads one number, and the rest only when that has changed. Whoever
// reads messages first and then calls this passes none over that was committed after an endpoint was made, whichever
// replica made it. It reads outside of any transaction: what is not committed yet may never be.
func (e *Endpoints) Current(ctx context.Context) (EndpointSet, error) {
	var version int64
	if err := e.DB.Get(ctx, &version, `SELECT version FROM endpoint_version WHERE id = 1`); err != nil {
		return EndpointSet{}, fmt.Errorf("reading the endpoints' version: %w", err)
	}
	e.mu.Lock()
	known, upToDate := e.known, e.version == version
	e.mu.Unlock()
	if upToDate {
		return known, nil
	}
	// Rows may be newer than the number that was read before them, never older; then they are read once more.
	var rows []endpointRow
	if err := e.DB.Select(ctx, &rows, `SELECT `+endpointColumns+` FROM endpoints ORDER BY id`); err != nil {
		return EndpointSet{}, fmt.Errorf("reading the endpoints: %w", err)
	}
	set := e.setOf(rows)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.version, e.known = version, set // of who was slower the number is older, and the rows are read once more
	return set, nil
}

// setOf makes a set of rows. A row that makes no sense is left out: it must not hold the others up.
func (e *Endpoints) setOf(rows []endpointRow) EndpointSet {
	var set EndpointSet
	for i := range rows {
		endpoint, err := rows[i].endpoint()
		if err != nil {
			e.Logger.Error("an endpoint is left out", "endpoint", rows[i].ID, "error", err)
			continue
		}
		e.unseal(&rows[i], endpoint)
		set.all = append(set.all, endpoint)
	}
	// A database may have another order than bytes.
	slices.SortFunc(set.all, func(a, b *Endpoint) int { return strings.Compare(a.ID, b.ID) })
	set.enabled = slices.DeleteFunc(slices.Clone(set.all), func(e *Endpoint) bool { return !e.Enabled })
	return set
}
