package sqldb_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

type thing struct {
	ID           int64
	Colour, Size string
}

// newest reads page after page and returns the ids, and how many pages it took.
func newest(t *testing.T, db *sqldb.DB, limit, look int, further []sqldb.Cond, choices ...sqldb.Choice) (ids []int64, pages int) {
	t.Helper()
	below := int64(1 << 40)
	for {
		pages++
		n := sqldb.Newest{
			Columns: "id, colour, size", Table: "things", Place: []string{"id"}, Below: []any{below}, From: []any{0}, Besides: sqldb.Cond{SQL: `id <> ?`, Args: []any{-1}}, Choices: choices, Further: further, Look: look,
			Show: "t.id, t.colour, t.size", As: "t",
		}
		var rows []thing
		if err := n.Read(t.Context(), db, &rows, limit+1); err != nil {
			t.Fatal(err)
		}
		if len(rows) > limit {
			rows = rows[:limit]
			below = rows[limit-1].ID
		} else if err := n.Behind(t.Context(), db, &below); errors.Is(err, sql.ErrNoRows) || !n.Looks() {
			below = 0
		} else if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		if below == 0 {
			return ids, pages
		}
	}
}

func TestNewestFindsEachRowOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := db.Writer().ExecContext(t.Context(), db.Writer().Rebind(query), args...); err != nil {
				t.Fatal(err)
			}
		}
		exec(`CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY, colour TEXT NOT NULL, size TEXT NOT NULL)`)
		exec(`CREATE INDEX things_colour ON things (colour, id)`)
		colours, sizes := []string{"red", "green", "blue"}, []string{"small", "large", "small", "small", "small", "small", "small"}
		all := map[string][]int64{}
		for id := int64(200); id > 0; id-- {
			colour, size := colours[id%3], sizes[id%7]
			exec(`INSERT INTO things (id, colour, size) VALUES (?, ?, ?)`, id, colour, size)
			for _, of := range []string{"", colour, size, colour + " " + size} {
				all[of] = append(all[of], id)
			}
		}
		mixed := slices.Concat(all["red large"], all["blue large"])
		slices.SortFunc(mixed, func(a, b int64) int { return int(b - a) })
		for name, row := range map[string]struct {
			choices []sqldb.Choice
			further []sqldb.Cond
			want    []int64
			pages   int
		}{
			"all":                   {nil, nil, all[""], 20},
			"one thing":             {[]sqldb.Choice{sqldb.Is("colour", "red")}, nil, all["red"], 7},
			"nothing":               {[]sqldb.Choice{sqldb.Is("colour", "black")}, nil, nil, 1},
			"none of its values":    {[]sqldb.Choice{sqldb.Is("colour")}, nil, nil, 1},
			"one of four":           {[]sqldb.Choice{sqldb.Is("colour", "red", "black", "blue", "green")}, nil, all[""], 20},
			"one of many":           {[]sqldb.Choice{sqldb.Is("colour", "red", "a", "b", "c", "blue", "d", "e", "f", "g", "green")}, nil, all[""], 20},
			"many things":           {[]sqldb.Choice{sqldb.Is("colour", "red", "a", "b", "c", "blue", "d", "e", "f", "g", "h"), sqldb.Is("size", "large")}, nil, mixed, 67},
			"two things":            {[]sqldb.Choice{sqldb.Is("colour", "red"), sqldb.Is("size", "large")}, nil, all["red large"], 4},
			"two of each":           {[]sqldb.Choice{sqldb.Is("colour", "red", "blue"), sqldb.Is("size", "large", "huge")}, nil, mixed, 14},
			"rare":                  {[]sqldb.Choice{sqldb.Is("colour", "red"), sqldb.Is("size", "huge")}, nil, nil, 4},
			"something else":        {nil, []sqldb.Cond{{SQL: `id > ?`, Args: []any{190}}}, all[""][:10], 11},
			"three things":          {[]sqldb.Choice{sqldb.Is("size", "large"), sqldb.Is("colour", "red")}, []sqldb.Cond{{SQL: `id > ?`, Args: []any{100}}}, all["red large"][:4], 2},
			"where nothing is left": {[]sqldb.Choice{sqldb.Is("size", "huge"), sqldb.Is("colour", "red")}, nil, nil, 1},
		} {
			t.Run(name, func(t *testing.T) {
				got, pages := newest(t, db, 10, 20, row.further, row.choices...)
				if fmt.Sprint(got) != fmt.Sprint(row.want) || pages != row.pages {
					t.Errorf("%v on %d pages, want %v on %d", got, pages, row.want, row.pages)
				}
			})
		}
	})
}
