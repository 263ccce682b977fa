package webhooks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// counter is a post with its routes, for a caller with the limits that it has.
type counter struct {
	*post
	router *echo.Echo
	limits webhooks.Limits
	health map[string]webhooks.Health
	err    error // of the last request
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	c := &counter{post: newPost(t, sqldbtest.SQLite(t), keysetFile(t)), router: echo.New()}
	h := &webhooks.EndpointHandlers{
		Endpoints:  c.Endpoints,
		Accounts:   func(echo.Context) []string { return c.limits.Accounts },
		Identities: func(echo.Context) []string { return c.limits.Identities },
		Health:     func(context.Context, ...string) (map[string]webhooks.Health, error) { return c.health, nil },
		Try: func(_ context.Context, e *webhooks.Endpoint, m events.Encoded) webhooks.Attempt {
			return webhooks.Attempt{Outcome: webhooks.OutcomeFailed, Status: 500, Took: 31 * time.Millisecond, Answer: m.Subject + " to " + e.URL}
		},
	}
	c.router.HTTPErrorHandler = func(err error, e echo.Context) {
		c.err = err
		_ = e.String(http.StatusTeapot, err.Error())
	}
	c.router.POST("/v1/endpoints", h.Create)
	c.router.GET("/v1/endpoints", h.List)
	c.router.GET("/v1/endpoints/:id", h.Get)
	c.router.PATCH("/v1/endpoints/:id", h.Change)
	c.router.DELETE("/v1/endpoints/:id", h.Delete)
	c.router.POST("/v1/endpoints/:id/rotate-secret", h.RotateSecret)
	c.router.POST("/v1/endpoints/:id/test", h.Test)
	return c
}

// do makes a request as an API key would and returns the answer's body.
func (c *counter) do(want int, method, path, body string) []byte {
	c.t.Helper()
	c.err = nil
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r = r.WithContext(audit.WithActor(r.Context(), audit.Actor{Kind: audit.KindKey, Name: "building"}))
	c.router.ServeHTTP(w, r)
	if w.Code != want {
		c.t.Fatalf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

func (c *counter) refused(method, path, body string) error {
	c.t.Helper()
	c.do(http.StatusTeapot, method, path, body)
	return c.err
}

// answered is what a program reads of an answer.
type answered struct {
	webhooks.Endpoint
	Secret string
	Health webhooks.Health
}

func read(t *testing.T, body []byte) (a answered) {
	t.Helper()
	must(t, json.Unmarshal(body, &a))
	return a
}

func TestEndpointsOverHTTP(t *testing.T) {
	c := newCounter(t)
	c.limits = webhooks.Limits{Accounts: []string{"a"}}
	made := read(t, c.do(http.StatusCreated, "POST", "/v1/endpoints", `{"url":"https://bms.example.com/in","subjects":["gatehouse.event.>"],"description":"Harbour"}`))
	path := "/v1/endpoints/" + made.ID
	if !secretForm.MatchString(made.Secret) || !made.Enabled || made.Ordered || made.Concurrency != 8 || made.MadeBy != "building" || !slices.Equal(made.Accounts, []string{"a"}) || made.Identities != nil {
		t.Errorf("%+v", made.Endpoint)
	}
	c.health = map[string]webhooks.Health{made.ID: {Waiting: 3, Delivered: 9, Failed: 1}}
	shown := c.do(http.StatusOK, "GET", path, "")
	listed := c.do(http.StatusOK, "GET", "/v1/endpoints?limit=1", "")
	if read(t, shown).Health.Waiting != 3 || !bytes.Contains(listed, bytes.TrimSpace(shown)) {
		t.Errorf("shown %s, listed %s", shown, listed)
	}
	changed := c.do(http.StatusOK, "PATCH", path, `{"ordered":true,"concurrency":1,"description":"","subjects":[">"],"enabled":false}`)
	if e := read(t, changed); !e.Ordered || e.Concurrency != 1 || e.Description != "" || e.Enabled || e.DisabledReason != webhooks.DisabledByHand || e.URL != made.URL {
		t.Errorf("%+v", e)
	}
	rotated := read(t, c.do(http.StatusOK, "POST", path+"/rotate-secret", ""))
	if !secretForm.MatchString(rotated.Secret) || rotated.Secret == made.Secret || rotated.OldSecretUntil.Before(time.Now()) {
		t.Errorf("%+v", rotated.Endpoint)
	}
	tested := c.do(http.StatusOK, "POST", path+"/test", "")
	if want := `"took_ms":31,"outcome":"failed","status":500,"answer":"gatehouse.endpoint.` + made.ID + `.test to ` + made.URL; !bytes.Contains(tested, []byte(want)) {
		t.Errorf("%s", tested)
	}
	for _, secret := range []string{made.Secret, rotated.Secret} {
		for name, text := range map[string][]byte{
			"shown": shown, "listed": listed, "changed": changed, "shown after": c.do(http.StatusOK, "GET", path, ""), "the log": []byte(c.lines.String()),
		} {
			if bytes.Contains(text, []byte(secret[6:])) {
				t.Errorf("the secret is in what was %s", name)
			}
		}
	}
	c.do(http.StatusNoContent, "DELETE", path, "")
	for _, err := range []error{c.refused("GET", path, ""), c.refused("PATCH", path, `{"enabled":true}`), c.refused("DELETE", path, ""), c.refused("POST", path+"/rotate-secret", ""), c.refused("POST", path+"/test", "")} {
		if !errors.Is(err, webhooks.ErrNoEndpoint) {
			t.Error(err)
		}
	}
	if got := c.do(http.StatusOK, "GET", "/v1/endpoints", ""); string(bytes.TrimSpace(got)) != `{"items":[]}` {
		t.Errorf("%s", got)
	}
}

func TestEndpointBodiesThatAreRefused(t *testing.T) {
	c := newCounter(t)
	made := read(t, c.do(http.StatusCreated, "POST", "/v1/endpoints", `{"url":"https://bms.example.com/in","subjects":[">"]}`))
	path := "/v1/endpoints/" + made.ID
	for _, tt := range []struct{ method, path, body, field string }{
		{"POST", "/v1/endpoints", ``, "url"},
		{"POST", "/v1/endpoints", `{"url":"https://bms.example.com/in"}`, "subjects"},
		{"POST", "/v1/endpoints", `{"subjects":[">"]}`, "url"},
		{"POST", "/v1/endpoints", `{"url":"https://a.example","subjects":[">"],"secret":"whsec_mine"}`, "secret"},
		{"POST", "/v1/endpoints", `{"url":"https://a.example","subjects":[">"],"accounts":["b"]}`, "accounts"},
		{"POST", "/v1/endpoints", `{"url":"` + strings.Repeat("x", 70<<10) + `"}`, "body"},
		{"PATCH", path, ``, "body"},
		{"PATCH", path, `{}`, "body"},
		{"PATCH", path, `[]`, "body"},
		{"PATCH", path, `{"url":null}`, "url"},
		{"PATCH", path, `{"url":1}`, "url"},
		{"PATCH", path, `{"subjects":null}`, "subjects"},
		{"PATCH", path, `{"subjects":">"}`, "subjects"},
		{"PATCH", path, `{"subjects":[null]}`, "subjects"},
		{"PATCH", path, `{"enabled":"yes"}`, "enabled"},
		{"PATCH", path, `{"enabled":null}`, "enabled"},
		{"PATCH", path, `{"concurrency":1.5}`, "concurrency"},
		{"PATCH", path, `{"made_by":"me"}`, "made_by"},
		{"PATCH", path, `{"description":null}`, "description"},
		{"POST", path + "/rotate-secret", `{"secret":"whsec_mine"}`, "secret"},
		{"GET", "/v1/endpoints?limit=0", ``, "limit"},
		{"GET", "/v1/endpoints?after=x", ``, "after"},
	} {
		if fault, ok := errors.AsType[*invalid.Error](c.refused(tt.method, tt.path, tt.body)); !ok || fault.Field != tt.field {
			t.Errorf("%s %s %.80s: %v, want the field %s named", tt.method, tt.path, tt.body, c.err, tt.field)
		}
	}
}
