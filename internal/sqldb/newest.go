package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Cond is a condition on rows, with what stands for its question marks.
type Cond struct {
	SQL  string
	Args []any
}

// Choice holds for rows with one of some values in a column of text.
type Choice struct {
	Column string
	Values []string
}

// Is makes a Choice.
func Is(column string, values ...string) Choice { return Choice{column, values} }

func (c Choice) cond() Cond {
	args := make([]any, len(c.Values))
	for i, v := range c.Values {
		args[i] = v
	}
	return Cond{c.Column + ` IN (NULL` + strings.Repeat(`, ?`, len(args)) + `)`, args}
}

// Newest reads a list newest first, so that a page costs little however long the list is and however rare its matches
// are.
type Newest struct {
	// Columns of Table are read, among them those of Place and all that narrows the rows down.
	Columns, Table string
	// Place are the columns that the list goes by, the newest row having the highest. Rows are read that stand below Below
	// and, unless From is nil, not below From.
	Place       []string
	Below, From []any
	// Besides holds for all rows that are looked at, where it is not empty: an index must know it, or nearly all rows fit.
	Besides Cond
	// Choices narrow the rows down. The first needs an index of its column with those of Place behind it.
	Choices []Choice
	// Further narrows them down too.
	Further []Cond
	// Look is how many rows of the first choice, or of all, are looked at for what else narrows them down.
	Look int
	// Show, where it is not "", is read of the rows that are found, which are called As, instead of their Columns: what
	// would be costly to read of all that are looked at.
	Show, As string
}

// Looks tells that only some rows are looked at: a page that is not full need not be the last.
func (n Newest) Looks() bool { return len(n.further()) > 0 }

// further is all but the first choice.
func (n Newest) further() []Cond {
	var all []Cond
	for _, c := range n.Choices[min(1, len(n.Choices)):] {
		all = append(all, c.cond())
	}
	return append(all, n.Further...)
}

func (n Newest) order() string { return strings.Join(n.Place, ` DESC, `) + ` DESC` }

// Read reads at most limit rows into dest, a slice of structs.
func (n Newest) Read(ctx context.Context, db *DB, dest any, limit int) error {
	query, args := n.first(db.postgres, n.Columns, limit)
	if n.Looks() {
		query, args = n.first(db.postgres, n.Columns, n.look())
		var clauses []string
		for _, c := range n.further() {
			clauses, args = append(clauses, c.SQL), append(args, c.Args...)
		}
		query = fmt.Sprintf(`SELECT * FROM (%s) AS looked WHERE %s ORDER BY %s LIMIT %d`, query, strings.Join(clauses, ` AND `), n.order(), limit)
	}
	if n.Show != "" {
		query = fmt.Sprintf(`SELECT %s FROM (%s) AS %s ORDER BY %s`, n.Show, query, n.As, n.order())
	}
	return db.read.SelectContext(ctx, dest, db.read.Rebind(query), db.planned(args)...)
}

// look is how many rows are looked at of each value of the first choice, and of all together.
func (n Newest) look() int {
	if len(n.Choices) == 0 {
		return n.Look
	}
	return max(1, n.Look/max(1, len(n.Choices[0].Values)))
}

// Behind reads the place of the last row that Read looks at, into dest, a struct or a value. sql.ErrNoRows says that it
// looks at all there are.
func (n Newest) Behind(ctx context.Context, db *DB, dest any) error {
	query, args := n.first(db.postgres, strings.Join(n.Place, `, `), n.look())
	query = fmt.Sprintf(`SELECT * FROM (%s) AS looked ORDER BY %s LIMIT 1 OFFSET %d`, query, n.order(), n.look()-1)
	return db.read.GetContext(ctx, dest, db.read.Rebind(query), db.planned(args)...)
}

// manyValues are so many that PostgreSQL takes longer to plan a UNION than to read it.
const manyValues = 8

// first reads the first rows of the first choice, those of each of its values by itself: with an IN both databases would
// read and sort all. Limits are written out, so that PostgreSQL knows them when it plans.
func (n Newest) first(postgres bool, columns string, limit int) (query string, args []any) {
	if len(n.Choices) == 0 {
		return n.rows(columns, `1 = 1`, limit)
	}
	c := n.Choices[0]
	if len(c.Values) == 0 {
		return n.rows(columns, `1 = 0`, limit)
	}
	if postgres && len(c.Values) > manyValues {
		return n.ofEach(columns, c, limit)
	}
	var arms []string
	for _, v := range c.Values {
		arm, theirs := n.rows(columns, c.Column+` = ?`, limit)
		arms, args = append(arms, arm), append(append(args, v), theirs...)
	}
	if len(arms) == 1 {
		return arms[0], args
	}
	return fmt.Sprintf(`SELECT * FROM (SELECT * FROM (%s) AS arm) AS merged ORDER BY %s LIMIT %d`,
		strings.Join(arms, `) AS arm UNION ALL SELECT * FROM (`), n.order(), limit), args
}

// ofEach does the same by one plan for all values. It is not told that column and value are equal: for a value that it does
// not know PostgreSQL would look along the whole list. What it is told, and the order, it gets by the index of column and
// place alone.
func (n Newest) ofEach(columns string, c Choice, limit int) (query string, args []any) {
	one := n
	one.Place, one.From = append([]string{c.Column}, n.Place...), nil
	arm, theirs := one.rows(columns, c.Column+` >= one.value`, limit)
	if n.From != nil {
		arm, theirs = one.rows(columns, fmt.Sprintf(`(%s) >= (one.value%s)`, strings.Join(one.Place, `, `), strings.Repeat(`, ?`, len(n.From))), limit)
		theirs = append(slices.Clone(n.From), theirs...)
	}
	for _, v := range c.Values {
		args = append(args, v)
	}
	return fmt.Sprintf(`SELECT of_each.* FROM (VALUES (?::text)%s) AS one (value) CROSS JOIN LATERAL (%s) AS of_each ORDER BY %s LIMIT %d`,
		strings.Repeat(`, (?)`, len(c.Values)-1), arm, n.order(), limit), append(args, theirs...)
}

// rows reads the newest rows of a condition.
func (n Newest) rows(columns, where string, limit int) (query string, args []any) {
	place, marks := strings.Join(n.Place, `, `), `?`+strings.Repeat(`, ?`, len(n.Below)-1)
	if len(n.Place) > len(n.Below) { // that of one value
		marks = `one.value, ` + marks
	}
	where, args = where+fmt.Sprintf(` AND (%s) < (%s)`, place, marks), slices.Clone(n.Below)
	if n.From != nil {
		where, args = where+fmt.Sprintf(` AND (%s) >= (%s)`, place, marks), append(args, n.From...)
	}
	if n.Besides.SQL != "" {
		where, args = where+` AND `+n.Besides.SQL, append(args, n.Besides.Args...)
	}
	return fmt.Sprintf(`SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT %d`, columns, n.Table, where, n.order(), limit), args
}

// planned has PostgreSQL plan a query for its very arguments. In a plan for any arguments all bounds count as narrow, and
// a list would be read through.
func (db *DB) planned(args []any) []any {
	if db.postgres {
		return append([]any{pgx.QueryExecModeCacheDescribe}, args...)
	}
	return args
}
