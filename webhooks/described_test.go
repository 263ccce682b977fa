package webhooks_test

import (
	"sync"
	"testing"

	"gatehouse/internal/sqldb"
	"gatehouse/web/webtest"
)

var description = sync.OnceValues(func() (*webtest.Bus, error) { return webtest.AsyncAPI("../web/asyncapi.yaml") })

// asDescribed holds the messages whose subject begins so against web/asyncapi.yaml.
func asDescribed(t testing.TB, db *sqldb.DB, subject string) {
	t.Helper()
	bus, err := description()
	must(t, err)
	var said []struct{ Subject, Body string }
	must(t, db.Select(t.Context(), &said, `SELECT subject, body FROM messages WHERE subject LIKE ?`, subject+"%"))
	for _, m := range said {
		if _, err := bus.Check(m.Subject, []byte(m.Body)); err != nil {
			t.Errorf("%s: %v", m.Subject, err)
		}
	}
}
