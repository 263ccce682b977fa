package dashboard

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/apikeys"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb"
	"gatehouse/oauth"
	"gatehouse/sessions"
	"gatehouse/sharing"
	"gatehouse/tokens"
	"gatehouse/web"
	"gatehouse/web/reference"
	"gatehouse/webhooks"
)

// Config is what a Dashboard needs.
type Config struct {
	DB       *sqldb.DB
	Pulse    *Pulse
	Messages *events.Handlers
	// Connections and Connect are nil where there is no DoorFlow application.
	Connections *tokens.Handlers
	Connect     *oauth.Connect
	// Identities and Operations have none where there is no Doordeck application.
	Identities *sharing.IdentityHandlers
	Endpoints  *webhooks.EndpointHandlers
	Deliveries *webhooks.DeliveryHandlers
	Keys       *apikeys.Handlers
	Sessions   *sessions.Sessions
	Audit      *audit.Handlers
	Operations *sharing.OperationHandlers
	// NATS has none where the server is external.
	NATS *natsauth.Handlers
	// WantedScopes are what DoorFlow is asked for.
	WantedScopes []string
	Log          *slog.Logger
	Now          func() time.Time // nil means time.Now
}

// Dashboard has the pages. Its methods are safe for concurrent use.
type Dashboard struct {
	Config
	templates map[string]*template.Template
	files     map[string]file
	// reference is read by Run, or when somebody looks at it before that.
	reference func() (*reference.Reference, error)
}

// New reads the templates, which are part of the program.
func New(c Config) (*Dashboard, error) {
	if c.DB == nil || c.Pulse == nil || c.Messages == nil || c.Identities == nil || c.Endpoints == nil || c.Deliveries == nil || c.Log == nil {
		return nil, errors.New("dashboard: DB, Pulse, Messages, Identities, Endpoints, Deliveries and Log must be set")
	}
	if c.Keys == nil || c.Operations == nil || c.NATS == nil || c.Sessions == nil || c.Audit == nil {
		return nil, errors.New("dashboard: Keys, Operations, NATS, Sessions and Audit must be set")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &Dashboard{Config: c, reference: sync.OnceValues(func() (*reference.Reference, error) { return reference.Read(web.Descriptions()) })}
	var err error
	if d.files, err = readFiles(); err != nil {
		return nil, err
	}
	d.templates, err = d.readTemplates()
	return d, err
}

// afterStart is when a process that has just been started has time for what nobody waits for.
const afterStart = 5 * time.Second

// Run prepares, some time after the start, what would keep the first who looks at it waiting, until ctx ends.
func (d *Dashboard) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-time.After(afterStart):
		if _, err := d.reference(); err != nil { // it is in the program, and its tests read it
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// page is a web.Page with its place in the menu, if it has one.
type page struct {
	web.Page
	nav string
}

// Pages is the route table for those who are signed in.
func (d *Dashboard) Pages() []web.Page {
	var all []web.Page
	for _, p := range d.pages() {
		all = append(all, p.Page)
	}
	return all
}

func get(path, scope string, h echo.HandlerFunc) web.Page {
	return web.Page{Method: http.MethodGet, Path: path, Scope: scope, Handle: h}
}

func post(path, scope string, h echo.HandlerFunc) web.Page {
	return web.Page{Method: http.MethodPost, Path: path, Scope: scope, Handle: h}
}

// part is a piece of a page that stays open and asks for it again and again.
func part(path, scope string, h echo.HandlerFunc) web.Page {
	return web.Page{Method: http.MethodGet, Path: path, Scope: scope, Handle: h, Background: true}
}

// open is a page for everybody.
func open(path string, h echo.HandlerFunc) web.Page {
	return web.Page{Method: http.MethodGet, Path: path, Handle: h, Open: true}
}

func stream(path, scope string, h echo.HandlerFunc) web.Page {
	return web.Page{Method: http.MethodGet, Path: path, Scope: scope, Handle: h, Background: true, Stream: true}
}

func (d *Dashboard) pages() []page {
	pages := []page{
		{get("/", "", d.overview), "Overview"},
		{part("/overview/live", "", d.overviewLive), ""},
	}
	if d.Connections != nil {
		pages = append(pages, []page{
			{get("/connections", "connections:read", d.connections), "Connections"},
			{get("/connections/:account", "connections:read", d.connection), ""},
			{get("/connections/:account/disconnect", "connections:write", d.confirmDisconnect), ""},
			{post("/connections/:account/disconnect", "connections:write", d.disconnect), ""},
			{get("/connect", "connections:write", d.connectForm), ""},
			{post("/connect", "connections:write", d.connect), ""},
			{get("/connect/:link", "connections:read", d.connectLink), ""},
			{part("/connect/:link/live", "connections:read", d.connectLinkLive), ""},
		}...)
	}
	if d.Identities.Of != nil {
		pages = append(append(pages, d.identityPages()...), d.doorPages()...)
	}
	pages = append(pages, []page{
		{get("/messages", "messages:read", d.messages), "Messages"},
		{get("/messages/more", "messages:read", d.moreMessages), ""},
		{stream("/messages/live", "messages:read", d.liveMessages), ""},
		{get("/messages/:id", "messages:read", d.message), ""},
		{post("/messages/:id/replay", "messages:write", d.replay), ""},

		{get("/endpoints", "endpoints:read", d.endpoints), "Endpoints"},
		{part("/endpoints/live", "endpoints:read", d.endpointsLive), ""},
		{get("/endpoints/new", "endpoints:write", d.newEndpointForm), ""},
		{post("/endpoints", "endpoints:write", d.makeEndpoint), ""},
		{get("/endpoints/:id", "endpoints:read", d.endpoint), ""},
		{part("/endpoints/:id/live", "endpoints:read", d.endpointLive), ""},
		{part("/endpoints/:id/deliveries", "endpoints:read", d.endpointDeliveries), ""},
		{get("/endpoints/:id/change", "endpoints:write", d.changeEndpointForm), ""},
		{post("/endpoints/:id/change", "endpoints:write", d.changeEndpoint), ""},
		{post("/endpoints/:id/test", "endpoints:write", d.testEndpoint), ""},
		{get("/endpoints/:id/rotate", "endpoints:write", d.confirmEndpoint("endpointrotate", "Rotate the secret")), ""},
		{post("/endpoints/:id/rotate", "endpoints:write", d.rotateEndpoint), ""},
		{post("/endpoints/:id/enable", "endpoints:write", d.enableEndpoint), ""},
		{get("/endpoints/:id/disable", "endpoints:write", d.confirmEndpoint("endpointdisable", "Disable an endpoint")), ""},
		{post("/endpoints/:id/disable", "endpoints:write", d.disableEndpoint), ""},
		{get("/endpoints/:id/delete", "endpoints:write", d.confirmEndpoint("endpointdelete", "Delete an endpoint")), ""},
		{post("/endpoints/:id/delete", "endpoints:write", d.deleteEndpoint), ""},
		{get("/endpoints/:id/replay", "endpoints:write", d.replayForm), ""},
		{post("/endpoints/:id/replay", "endpoints:write", d.replayRange), ""},
		{post("/endpoints/:id/retry-parked", "endpoints:write", d.retryParked), ""},
		{get("/deliveries/:id", "endpoints:read", d.delivery), ""},
		{part("/deliveries/:id/live", "endpoints:read", d.deliveryLive), ""},
		{post("/deliveries/:id/retry", "endpoints:write", d.retryDelivery), ""},
	}...)
	return append(append(pages, d.accessPages()...), []page{
		{open("/api", d.api), "API"},
		{open("/api/http/:group", d.apiRequests), ""},
		{open("/api/nats/:group", d.apiMessages), ""},
		{open("/api/problems", d.apiProblems), ""},
	}...)
}

// accessPages are about who may do what, and who did.
func (d *Dashboard) accessPages() []page {
	var pages []page
	if d.Operations.Of != nil {
		pages = append(pages, []page{
			{get("/operations", "operations:read", d.operations), "Operations"},
			{get("/operations/:operation", "operations:read", d.operation), ""},
			{part("/operations/:operation/live", "operations:read", d.operationLive), ""},
		}...)
	}
	pages = append(pages, []page{
		{get("/audit", "audit:read", d.audit), "Audit"},
		{get("/audit/verify", "audit:read", d.verify), ""},
		{stream("/audit/verify/live", "audit:read", d.verifyLive), ""},
		{get("/audit/:id", "audit:read", d.entry), ""},
		{get("/api-keys", "admin", d.keys), "API keys"},
		{get("/api-keys/new", "admin", d.newKey), ""},
		{post("/api-keys", "admin", d.createKey), ""},
		{get("/api-keys/:id", "admin", d.key), ""},
		{get("/api-keys/:id/revoke", "admin", d.confirmRevoke), ""},
		{post("/api-keys/:id/revoke", "admin", d.revokeKey), ""},
		{get("/sessions", "", d.sessions), ""},
		{post("/sessions/:session/end", "", d.endSession), ""},
	}...)
	if d.NATS.Credentials == nil {
		return pages
	}
	return append(pages, []page{
		{get("/nats-credentials", "admin", d.creds), "NATS credentials"},
		{get("/nats-credentials/+new", "admin", d.newCred), ""},
		{post("/nats-credentials", "admin", d.createCred), ""},
		{get("/nats-credentials/:name", "admin", d.cred), ""},
		{get("/nats-credentials/:name/revoke", "admin", d.confirmRevokeCred), ""},
		{post("/nats-credentials/:name/revoke", "admin", d.revokeCred), ""},
	}...)
}
