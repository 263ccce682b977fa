package oauth_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

// What is recorded is recorded once, with the change itself, and opens nothing.
func TestLinksAreAudited(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		link := g.link(`{"return_url":"` + returnURL + `"}`)
		code := g.browser().returned(t, link, "allow", account).Get("code")
		g.api(http.MethodPost, "/v1/connect-links/"+link+"/complete", `{"code":"wrong"}`)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { g.api(http.MethodPost, "/v1/connect-links/"+link+"/complete", `{"code":"`+code+`"}`) })
		}
		wg.Wait()
		g.browser().walk(g.link(`{}`), "deny", account)
		g.browser().walk(g.link(`{"account":"`+doorflowsim.AccountB+`"}`), "allow", doorflowsim.AccountB)

		var rows []struct{ Action, Account, Target string }
		must(t, db.Select(t.Context(), &rows, `SELECT action, account, target FROM audit_log ORDER BY id`))
		var got []string
		for _, r := range rows {
			got = append(got, strings.TrimSpace(r.Action+" "+r.Account))
			if strings.Contains(r.Target, link) || !strings.HasPrefix(r.Target, "connect link ") {
				t.Errorf("target %q", r.Target)
			}
		}
		want := []string{
			"connect_link.create", "connect_link.complete " + account, "connect_link.create",
			"connect_link.create " + doorflowsim.AccountB, "connection.connect " + doorflowsim.AccountB,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want (-) got (+):\n%s", diff)
		}
	})
}
