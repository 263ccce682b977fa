package keys_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/keys"
)

func TestTheRoutes(t *testing.T) {
	p := start(t, sqldbtest.SQLite(t), newPath(t), "one")
	h := &keys.Handlers{Ring: p.Ring}
	call := func(handle echo.HandlerFunc, body string) (*httptest.ResponseRecorder, error) {
		w := httptest.NewRecorder()
		return w, handle(echo.New().NewContext(httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)), w))
	}
	for _, body := range []string{`{"drop":true}`, `{"drop_old":"yes"}`, `[]`, `{`, planted} {
		_, err := call(h.Rotate, body)
		if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != "body" || strings.Contains(err.Error(), planted) {
			t.Errorf("%s: %v", body, err)
		}
	}
	if s := p.status(t); s.Rotation != nil {
		t.Fatal("a refused request began a rotation")
	}
	for _, row := range []struct {
		name   string
		handle echo.HandlerFunc
		body   string
		status int
	}{
		{"rotate", h.Rotate, "", http.StatusAccepted},
		{"rotate and drop", h.Rotate, `{"drop_old":true}`, http.StatusAccepted},
		{"drop", h.Drop, "", http.StatusAccepted},
		{"status", h.Status, "", http.StatusOK},
	} {
		w, err := call(row.handle, row.body)
		var s keys.Status
		if err != nil || w.Code != row.status || json.Unmarshal(w.Body.Bytes(), &s) != nil || s.Rotation == nil || s.Current == 0 {
			t.Errorf("%s: %v %d %s", row.name, err, w.Code, w.Body)
		}
		p.awaitDone(t)
	}
}
