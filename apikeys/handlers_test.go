package apikeys_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"gatehouse/apikeys"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
)

func TestOverHTTP(t *testing.T) {
	p := newPlace(t, sqldbtest.SQLite(t))
	k := p.open(token)
	h := &apikeys.Handlers{Keys: k}
	router := echo.New()
	router.HTTPErrorHandler = func(err error, c echo.Context) { _ = c.String(http.StatusTeapot, err.Error()) }
	router.POST("/v1/api-keys", h.Create)
	router.GET("/v1/api-keys", h.List)
	router.DELETE("/v1/api-keys/:id", h.Delete)
	do := func(method, path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w
	}
	w := do("POST", "/v1/api-keys", `{"name":"visitors","scopes":["messages:read"],"accounts":["a"],"identities":[]}`)
	var made struct {
		ID, Key              string
		Accounts, Identities []string
	}
	must(t, json.Unmarshal(w.Body.Bytes(), &made))
	if w.Code != http.StatusCreated || !keyForm.MatchString(made.Key) || len(made.Accounts) != 1 || made.Identities == nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w = do("GET", "/v1/api-keys?limit=1", "")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"identities":[]`) || strings.Contains(w.Body.String(), made.Key) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w = do("DELETE", "/v1/api-keys/"+made.ID, ""); w.Code != http.StatusNoContent || works(t, k, vault.NewSecret(made.Key)) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if strings.Contains(p.log.String(), made.Key) {
		t.Error("the key is in the log")
	}
}

// A list that is absent means all, so that whatever might have meant something else must not pass for it.
func TestBodiesThatAreRefused(t *testing.T) {
	h := &apikeys.Handlers{Keys: newPlace(t, sqldbtest.SQLite(t)).open(token)}
	for body, field := range map[string]string{
		``:                               "name",
		`{"name":"x","scopes":["admin"]`: "body",
		`{"name":"x","scopes":"admin"}`:  "scopes",
		`{"name":"x","scopes":null}`:     "scopes",
		`{"name":"x","scopes":[1]}`:      "scopes",
		`{"name":"x","scopes":["messages:read"],"accounts":null}`:    "accounts",
		`{"name":"x","scopes":["messages:read"],"accounts":"a"}`:     "accounts",
		`{"name":"x","scopes":["messages:read"],"accounts":[null]}`:  "accounts",
		`{"name":"x","scopes":["messages:read"],"accounts":["a",1]}`: "accounts",
		`{"name":"x","scopes":["messages:read"],"identities":null}`:  "identities",
		`{"name":"x","scopes":["messages:read"],"account":["a"]}`:    "account",
		`{"name":"x","scopes":["messages:read"],"expires_at":1}`:     "expires_at",
		`{"name":"x","scopes":["messages:read"],"expires_at":""}`:    "expires_at",
		`{"name":1,"scopes":["messages:read"]}`:                      "name",
		`{"name":"` + strings.Repeat("x", 40<<10) + `"}`:             "body",
	} {
		r := httptest.NewRequest("POST", "/v1/api-keys", strings.NewReader(body))
		err := h.Create(echo.New().NewContext(r, httptest.NewRecorder()))
		if fault, refused := errors.AsType[*invalid.Error](err); !refused || fault.Field != field {
			t.Errorf("%.80s: %v, want the field %s named", body, err, field)
		}
	}
}
