package natsauth

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
)

// Handlers are the routes below /v1/nats-credentials. They return errors of this package and
// *invalid.Error; the server chooses the statuses.
type Handlers struct {
	// Credentials is nil when NATS is external: then every route says so.
	Credentials *Credentials
	// Accounts and Identities return what the caller is held to, nil for all; a nil function means all. A
	// caller grants, sees and revokes nothing beyond them.
	Accounts, Identities func(echo.Context) []string
}

const (
	maxBody      = 64 << 10
	defaultLimit = 50
	maxLimit     = 500
)

// Request is the body of POST /v1/nats-credentials.
type Request struct {
	Grant
	// ExpiresAt is when it ends; nil: after DefaultLife.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Minted is the answer to it: the one time that the file is shown.
type Minted struct {
	Credential
	Creds string `json:"creds"`
}

// Create is POST /v1/nats-credentials.
func (h *Handlers) Create(c echo.Context) error {
	if h.Credentials == nil {
		return ErrExternal
	}
	var in Request
	if err := invalid.Body(c.Response(), c.Request(), maxBody, &in); err != nil {
		return err
	}
	minted, file, err := h.Make(c, in)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.JSON(http.StatusCreated, Minted{minted, file.Reveal()})
}

// Make mints what a caller asks for, unless that goes beyond what the caller is held to.
func (h *Handlers) Make(c echo.Context, in Request) (Credential, vault.Secret, error) {
	if h.Credentials == nil {
		return Credential{}, vault.Secret{}, ErrExternal
	}
	if field := beyond(in.Grant, held(c, h.Accounts), held(c, h.Identities)); field != "" {
		return Credential{}, vault.Secret{}, invalid.Field(field, "must name nothing but what your API key is for")
	}
	var expires time.Time
	if in.ExpiresAt != nil {
		if expires = *in.ExpiresAt; expires.IsZero() { // some programs mean nothing by it, others the past
			return Credential{}, vault.Secret{}, errExpires
		}
	}
	return h.Credentials.Mint(c.Request().Context(), in.Grant, expires)
}

// List is GET /v1/nats-credentials.
func (h *Handlers) List(c echo.Context) error {
	page, next, err := h.Page(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Items []Credential `json:"items"`
		Next  string       `json:"next,omitempty"`
	}{page, next})
}

// Page returns the credentials that a request's query asks for and its caller may see, and the cursor of the next page.
func (h *Handlers) Page(c echo.Context) ([]Credential, string, error) {
	if h.Credentials == nil {
		return nil, "", ErrExternal
	}
	limit, err := invalid.Limit(c.QueryParam("limit"), defaultLimit, maxLimit)
	if err != nil {
		return nil, "", err
	}
	return h.Credentials.List(c.Request().Context(), c.QueryParam("after"), limit, h.visible(c))
}

// Find reads the credential that the path names. One that the caller may not see is ErrNotFound, as if there were none.
func (h *Handlers) Find(c echo.Context) (Credential, error) {
	if h.Credentials == nil {
		return Credential{}, ErrExternal
	}
	return h.Credentials.Get(c.Request().Context(), c.Param("name"), h.visible(c))
}

// Revoke ends the credential that the path names.
func (h *Handlers) Revoke(c echo.Context) error {
	if h.Credentials == nil {
		return ErrExternal
	}
	return h.Credentials.Revoke(c.Request().Context(), c.Param("name"), h.visible(c))
}

// Delete is DELETE /v1/nats-credentials/:name.
func (h *Handlers) Delete(c echo.Context) error {
	if err := h.Revoke(c); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (h *Handlers) visible(c echo.Context) func(Credential) bool {
	accounts, identities := held(c, h.Accounts), held(c, h.Identities)
	return func(found Credential) bool { return beyond(found.Grant, accounts, identities) == "" }
}

func held(c echo.Context, limit func(echo.Context) []string) []string {
	if limit == nil {
		return nil
	}
	return limit(c)
}

// beyond names the field in which a grant goes beyond what a caller is held to, "" where none does.
func beyond(g Grant, accounts, identities []string) string {
	if accounts != nil && slices.ContainsFunc(g.Events, func(a string) bool { return !slices.Contains(accounts, a) }) {
		return "events"
	}
	if identities == nil {
		return ""
	}
	for field, granted := range map[string]map[string][]string{"ask": g.Ask, "command": g.Command} {
		for identity := range granted {
			if !slices.Contains(identities, identity) {
				return field
			}
		}
	}
	return ""
}
