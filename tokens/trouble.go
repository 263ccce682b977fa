package tokens

import (
	"context"
	"fmt"
	"strings"
)

// Count tells how many connections have which status. Only those of the accounts named count; nil means all.
func (k *Keeper) Count(ctx context.Context, accounts []string) (map[string]int, error) {
	where, args := ofAccounts(accounts)
	var rows []struct {
		Status string
		N      int
	}
	if err := k.db.Select(ctx, &rows, `SELECT c.status, COUNT(*) AS n FROM connections c WHERE 1 = 1`+where+` GROUP BY c.status`, args...); err != nil {
		return nil, fmt.Errorf("counting connections: %w", err)
	}
	counts := map[string]int{}
	for _, r := range rows {
		counts[r.Status] = r.N
	}
	return counts, nil
}

// Troubled returns connections that somebody should look at, at most so many: those to be made again first, then those
// that are silent or lack a scope. Only those of the accounts named are shown; nil means all.
func (k *Keeper) Troubled(ctx context.Context, accounts []string, limit int) ([]Connection, error) {
	where, args := ofAccounts(accounts)
	var rows []shownRow
	query := selectShown + ` WHERE (c.status = '` + StatusReauthorize + `' OR (c.status = '` + StatusActive + `' AND (c.forbidden <> '' OR u.silent_since > 0)))` +
		where + ` ORDER BY CASE c.status WHEN '` + StatusReauthorize + `' THEN 0 ELSE 1 END, c.account LIMIT ?`
	if err := k.db.Select(ctx, &rows, query, append(args, limit)...); err != nil {
		return nil, fmt.Errorf("looking for connections in trouble: %w", err)
	}
	page := make([]Connection, len(rows))
	for i, r := range rows {
		page[i] = k.shown(r)
	}
	return page, nil
}

// ofAccounts narrows a query to the connections of accounts.
func ofAccounts(accounts []string) (where string, args []any) {
	if accounts == nil {
		return "", nil
	}
	for _, a := range accounts {
		args = append(args, a)
	}
	return ` AND c.account IN (NULL` + strings.Repeat(`, ?`, len(accounts)) + `)`, args
}
