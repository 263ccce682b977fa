package sharing_test

import (
	"strings"
	"testing"

	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// What is asked for each operation, or each half second, reads what is open, not a week's history.
func TestHistoryIsNotReadAgainAndAgain(t *testing.T) {
	db := sqldbtest.SQLite(t)
	for _, row := range []struct{ name, query, index string }{
		{"the first of a lane", `SELECT id FROM operations` + sharing.InLane + ` ORDER BY seq LIMIT 1`, "operations_lane (identity=? AND lock=? AND stage=?)"},
		{"what is due", sharing.DueLanes, "operations_due (due_at<?)"},
		{"how many wait", sharing.OpenOf, "operations_lane (identity=?)"},
		{"what is alive", sharing.AliveFor, "operations_alive (lock=? AND alive_at>?)"},
		{"what came later", sharing.Overtaking + `?) GROUP BY p.user_id`, "operations_door (lock=? AND seq>?)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var plan []struct {
				ID, Parent, Notused int
				Detail              string
			}
			must(t, db.Select(t.Context(), &plan, "EXPLAIN QUERY PLAN "+row.query, make([]any, strings.Count(row.query, "?"))...))
			if len(plan) == 0 || !strings.HasPrefix(plan[0].Detail, "SEARCH") || !strings.HasSuffix(plan[0].Detail, row.index) {
				t.Errorf("%v", plan)
			}
		})
	}
}
