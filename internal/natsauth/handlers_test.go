package natsauth_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb/sqldbtest"
)

// handle runs a handler as the server does, with the path's name.
func handle(h echo.HandlerFunc, method, target, name, body string) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	c := echo.New().NewContext(httptest.NewRequest(method, target, strings.NewReader(body)), w)
	c.SetParamNames("name")
	c.SetParamValues(name)
	return w, h(c)
}

// A caller who is held to accounts and identities grants, sees and revokes nothing beyond them.
func TestACallerGrantsNoMoreThanItHas(t *testing.T) {
	c := natsauth.New(natsauth.Config{DB: sqldbtest.SQLite(t), Log: quiet})
	free := &natsauth.Handlers{Credentials: c}
	held := &natsauth.Handlers{
		Credentials: c,
		Accounts:    func(echo.Context) []string { return []string{"hX9aQ2"} },
		Identities:  func(echo.Context) []string { return []string{"acme"} },
	}
	for body, field := range map[string]string{
		`{"name":"a","events":["*"]}`:                                          "events",
		`{"name":"a","events":["hX9aQ2","bT4kW8"]}`:                            "events",
		`{"name":"a","events":["hX9aQ2"],"ask":{"other":["share"]}}`:           "ask",
		`{"name":"a","events":["hX9aQ2"],"command":{"other":["share"]}}`:       "command",
		`{"name":"a","events":["hX9aQ2"],"account_key":"x"}`:                   "account_key",
		`{"name":"a","events":"hX9aQ2"}`:                                       "events",
		`{"name":"a","events":["` + strings.Repeat("x", 70<<10) + `"]}`:        "body",
		`{"name":"a","events":["hX9aQ2"],"expires_at":"2001-01-01T00:00Z"`:     "body",
		`{"name":"a","events":["hX9aQ2"],"expires_at":"0001-01-01T00:00:00Z"}`: "expires_at",
	} {
		if _, err := handle(held.Create, http.MethodPost, "/", "", body); !invalidField(err, field) {
			t.Errorf("%.80s: %v, want a fault in %s", body, err, field)
		}
	}
	w, err := handle(held.Create, http.MethodPost, "/", "", `{"name":"own","events":["hX9aQ2"],"ask":{"acme":["doors"]}}`)
	must(t, err)
	if w.Code != http.StatusCreated || w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(w.Body.String(), "BEGIN USER NKEY SEED") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	for _, body := range []string{`{"name":"wide","events":["*"]}`, `{"name":"others","command":{"other":["share"]}}`} {
		_, err := handle(free.Create, http.MethodPost, "/", "", body)
		must(t, err)
	}
	for h, want := range map[*natsauth.Handlers]int{free: 3, held: 1} {
		w, err := handle(h.List, http.MethodGet, "/?limit=10", "", "")
		must(t, err)
		var page struct{ Items []natsauth.Credential }
		must(t, json.Unmarshal(w.Body.Bytes(), &page))
		if len(page.Items) != want || strings.Contains(w.Body.String(), "SEED") {
			t.Errorf("listed %s", w.Body)
		}
	}
	for _, name := range []string{"wide", "others", "nobody"} {
		if _, err := handle(held.Delete, http.MethodDelete, "/", name, ""); !errors.Is(err, natsauth.ErrNotFound) {
			t.Errorf("revoking %s: %v", name, err)
		}
	}
	if w, err := handle(held.Delete, http.MethodDelete, "/", "own", ""); err != nil || w.Code != http.StatusNoContent {
		t.Errorf("%d %v", w.Code, err)
	}
}

func TestWithAnExternalServerNothingIsMinted(t *testing.T) {
	h := &natsauth.Handlers{}
	for _, f := range []echo.HandlerFunc{h.Create, h.List, h.Delete} {
		if _, err := handle(f, http.MethodPost, "/", "x", `{"name":"a","events":["*"]}`); !errors.Is(err, natsauth.ErrExternal) {
			t.Error(err)
		}
	}
}
