package web

import (
	"github.com/labstack/echo/v4"

	"gatehouse/passthrough"
)

// WebhookHandlers takes what DoorFlow sends. It writes its own log line for each request.
type WebhookHandlers interface {
	Handle(echo.Context) error
}

// ConnectHandlers lead a customer's browser through DoorFlow's consent, and make and complete the links
// that it begins with.
type ConnectHandlers interface {
	StartPage(echo.Context) error
	Start(echo.Context) error
	Callback(echo.Context) error
	CreateLink(echo.Context) error
	GetLink(echo.Context) error
	CompleteLink(echo.Context) error
}

// ConnectionHandlers show connections and end them.
type ConnectionHandlers interface {
	List(echo.Context) error
	Get(echo.Context) error
	Delete(echo.Context) error
}

// PassThroughHandlers let programs use DoorFlow's API.
type PassThroughHandlers interface {
	Handle(echo.Context) error
}

// MessageHandlers show what the gateway said.
type MessageHandlers interface {
	List(echo.Context) error
	Get(echo.Context) error
	Replay(echo.Context) error
	Stream(echo.Context) error
}

// AuditHandlers show who did what, and prove it.
type AuditHandlers interface {
	List(echo.Context) error
	Verify(echo.Context) error
}

// KeyHandlers make, show and revoke API keys.
type KeyHandlers interface {
	Create(echo.Context) error
	List(echo.Context) error
	Delete(echo.Context) error
}

// RingHandlers show how the keys of the key set stand, and exchange them.
type RingHandlers interface {
	Status(echo.Context) error
	Rotate(echo.Context) error
	Drop(echo.Context) error
}

// NATSCredentialHandlers mint, list and revoke credentials of the embedded NATS server.
type NATSCredentialHandlers interface {
	Create(echo.Context) error
	List(echo.Context) error
	Delete(echo.Context) error
}

// IdentityHandlers make, show, register and delete the Doordeck administrators that the gateway signs as, and
// show their doors.
type IdentityHandlers interface {
	Create(echo.Context) error
	List(echo.Context) error
	Get(echo.Context) error
	Delete(echo.Context) error
	Register(echo.Context) error
	Verify(echo.Context) error
	Check(echo.Context) error
	Doors(echo.Context) error
	Door(echo.Context) error
	DoorUsers(echo.Context) error
}

// OperationHandlers take, list and show what is asked of doors, and look up whom it could be for.
type OperationHandlers interface {
	Submit(echo.Context) error
	List(echo.Context) error
	Get(echo.Context) error
	Lookup(echo.Context) error
}

// DeliveryHandlers show what becomes of messages on their way to endpoints, and send them again.
type DeliveryHandlers interface {
	List(echo.Context) error
	Get(echo.Context) error
	Retry(echo.Context) error
	Replay(echo.Context) error
}

// EndpointHandlers make, show, change, test and delete endpoints, and rotate their secrets.
type EndpointHandlers interface {
	Create(echo.Context) error
	List(echo.Context) error
	Get(echo.Context) error
	Change(echo.Context) error
	Delete(echo.Context) error
	RotateSecret(echo.Context) error
	Test(echo.Context) error
}

// SignInLinkHandlers make links that sign a browser in to the dashboard.
type SignInLinkHandlers interface {
	CreateLink(echo.Context) error
}

// WebhookPath is where DoorFlow sends webhooks.
const WebhookPath = "/webhooks/doorflow"

func (s *Server) healthRoutes(e *echo.Echo) {
	e.GET("/livez", s.livez)
	e.HEAD("/livez", s.livez)
	e.GET("/readyz", s.readyz)
	e.HEAD("/readyz", s.readyz)
	e.GET("/openapi.yaml", serveOpenAPI)
	e.GET("/asyncapi.yaml", serveAsyncAPI)
}

func (s *Server) publicRoutes(e *echo.Echo) {
	s.healthRoutes(e)
	if h := s.config.Webhooks; h != nil {
		e.POST(WebhookPath, h.Handle)
	}
	if h := s.config.Connect; h != nil {
		e.GET("/oauth/start/:link", h.StartPage)
		e.POST("/oauth/start/:link", h.Start)
		e.GET("/oauth/callback", h.Callback, fromBrowser)
	}
}

// apiRoutes are for programs. Each names the scope that a caller's key needs.
func (s *Server) apiRoutes(e *echo.Echo) {
	if h := s.config.Connect; h != nil {
		e.POST("/v1/connect-links", h.CreateLink, s.requires("connections:write"))
		e.GET("/v1/connect-links/:link", h.GetLink, s.requires("connections:read"))
		e.POST("/v1/connect-links/:link/complete", h.CompleteLink, s.requires("connections:write"))
	}
	if h := s.config.Connections; h != nil {
		e.GET("/v1/connections", h.List, s.requires("connections:read"))
		e.GET("/v1/connections/:account", h.Get, s.requires("connections:read"))
		e.DELETE("/v1/connections/:account", h.Delete, s.requires("connections:write"))
	}
	if h := s.config.DoorFlow; h != nil {
		const path = "/v1/connections/:account/doorflow/api/3/"
		// Which scope a path needs is decided by what DoorFlow will make of it, not by what the router does.
		allowed := s.requiresFor(passthrough.Scope)
		e.GET(path+"*", h.Handle, allowed, s.fewExchanges, s.endsWithKey, endsSoonWithServer)
		for _, write := range []func(string, echo.HandlerFunc, ...echo.MiddlewareFunc) *echo.Route{e.POST, e.PUT, e.DELETE} {
			write(path+"*", h.Handle, allowed, s.fewExchanges, carriedThrough, endsSoonWithServer)
		}
	}
	if h := s.config.Operations; h != nil {
		// Which of them an operation needs is in its body, and decided by those who read it.
		asking := s.requiresOneOf("operations:write", "operations:unlock", "operations:admin")
		e.POST("/v1/identities/:name/operations", h.Submit, asking, endsSoonWithServer)
		e.POST("/v1/identities/:name/lookup", h.Lookup, s.requires("operations:read"))
		e.GET("/v1/operations", h.List, s.requires("operations:read"))
		e.GET("/v1/operations/:operation", h.Get, s.requires("operations:read"))
	}
	if h := s.config.Messages; h != nil {
		e.GET("/v1/messages", h.List, s.requires("messages:read"))
		e.GET("/v1/messages/stream", h.Stream, s.requires("messages:read"), s.fewStreams, s.endsWithKey, endsWithServer)
		e.GET("/v1/messages/:id", h.Get, s.requires("messages:read"))
		e.POST("/v1/messages/:id/replay", h.Replay, s.requires("messages:write"))
	}
	if h := s.config.Endpoints; h != nil {
		const path = "/v1/endpoints/:id"
		e.POST("/v1/endpoints", h.Create, s.requires("endpoints:write"))
		e.GET("/v1/endpoints", h.List, s.requires("endpoints:read"))
		e.GET(path, h.Get, s.requires("endpoints:read"))
		e.PATCH(path, h.Change, s.requires("endpoints:write"))
		e.DELETE(path, h.Delete, s.requires("endpoints:write"))
		e.POST(path+"/rotate-secret", h.RotateSecret, s.requires("endpoints:write"))
		e.POST(path+"/test", h.Test, s.requires("endpoints:write"), endsSoonWithServer)
	}
	if h := s.config.Deliveries; h != nil {
		e.GET("/v1/endpoints/:id/deliveries", h.List, s.requires("endpoints:read"))
		e.POST("/v1/endpoints/:id/replay", h.Replay, s.requires("endpoints:write"))
		e.GET("/v1/deliveries/:id", h.Get, s.requires("endpoints:read"))
		e.POST("/v1/deliveries/:id/retry", h.Retry, s.requires("endpoints:write"))
	}
	if h := s.config.NATSCredentials; h != nil {
		e.POST("/v1/nats-credentials", h.Create, s.requires("admin"))
		e.GET("/v1/nats-credentials", h.List, s.requires("admin"))
		e.DELETE("/v1/nats-credentials/:name", h.Delete, s.requires("admin"))
	}
	if h := s.config.Identities; h != nil {
		const path = "/v1/identities/:name"
		e.POST("/v1/identities", h.Create, s.requires(scopeAdmin))
		e.GET("/v1/identities", h.List, s.requires("identities:read"))
		e.GET(path, h.Get, s.requires("identities:read"))
		e.DELETE(path, h.Delete, s.requires(scopeAdmin))
		e.POST(path+"/register", h.Register, s.requires("identities:write"))
		e.POST(path+"/verify", h.Verify, s.requires("identities:write"))
		e.POST(path+"/check", h.Check, s.requires("identities:write"))
		e.GET(path+"/doors", h.Doors, s.requires("operations:read"))
		e.GET(path+"/doors/:lock", h.Door, s.requires("operations:read"))
		e.GET(path+"/doors/:lock/users", h.DoorUsers, s.requires("operations:read"))
	}
	if h := s.config.Audit; h != nil {
		e.GET("/v1/audit", h.List, s.requires("audit:read"))
		e.GET("/v1/audit/verify", h.Verify, s.requires("audit:read"), s.endsWithKey, endsWithServer)
	}
	if h := s.config.Keys; h != nil {
		e.POST("/v1/api-keys", h.Create, s.requires(scopeAdmin))
		e.GET("/v1/api-keys", h.List, s.requires(scopeAdmin))
		e.DELETE("/v1/api-keys/:id", h.Delete, s.requires(scopeAdmin))
	}
	if h := s.config.SignInLinks; h != nil {
		e.POST("/v1/sign-in-links", h.CreateLink, s.requires(scopeAdmin))
	}
	if h := s.config.Ring; h != nil {
		e.GET("/v1/keys", h.Status, s.requires(scopeAdmin))
		e.POST("/v1/keys/rotate", h.Rotate, s.requires(scopeAdmin))
		e.POST("/v1/keys/drop", h.Drop, s.requires(scopeAdmin))
	}
}
