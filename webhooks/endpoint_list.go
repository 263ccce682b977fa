package webhooks

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"gatehouse/internal/invalid"
)

// Get returns one endpoint as it is. Error: ErrNoEndpoint.
func (e *Endpoints) Get(ctx context.Context, id string, limits Limits) (*Endpoint, error) {
	if !isEndpointID(id) {
		return nil, ErrNoEndpoint // a database may refuse its bytes
	}
	var r endpointRow
	err := e.DB.Get(ctx, &r, `SELECT `+endpointColumns+` FROM endpoints WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoEndpoint
	}
	if err != nil {
		return nil, fmt.Errorf("reading endpoint %s: %w", id, err)
	}
	endpoint, err := r.endpoint()
	if err != nil {
		return nil, err
	}
	if !endpoint.limits().within(limits) {
		return nil, ErrNoEndpoint
	}
	e.unseal(&r, endpoint)
	return endpoint, nil
}

// List returns a page of the endpoints that the caller may know of, newest first, and the cursor of the next page, ""
// at the end.
func (e *Endpoints) List(ctx context.Context, after string, limit int, limits Limits) (page []*Endpoint, next string, err error) {
	below := "ffffffff-ffff-ffff-ffff-ffffffffffff" // above every id
	if after != "" {
		raw, err := base64.RawURLEncoding.DecodeString(after)
		if below = string(raw); err != nil || !isEndpointID(below) {
			return nil, "", invalid.Field("after", "is not a cursor from a list of endpoints")
		}
	}
	page = []*Endpoint{}
	for {
		var rows []endpointRow
		const query = `SELECT ` + endpointColumns + ` FROM endpoints WHERE id < ? ORDER BY id DESC LIMIT ?`
		if err := e.DB.Select(ctx, &rows, query, below, limit+1); err != nil {
			return nil, "", fmt.Errorf("listing endpoints: %w", err)
		}
		for i := range rows {
			endpoint, err := rows[i].endpoint()
			if err != nil {
				return nil, "", err
			}
			if !endpoint.limits().within(limits) {
				continue
			}
			if len(page) == limit {
				return page, base64.RawURLEncoding.EncodeToString([]byte(page[limit-1].ID)), nil
			}
			page = append(page, endpoint)
		}
		if len(rows) <= limit {
			return page, "", nil
		}
		below = rows[limit].ID
	}
}

// Troubled returns endpoints that somebody should look at, as far as the caller may know of them: those that fail, and
// those that the gateway has disabled. They are the newest, and at most so many.
func (e *Endpoints) Troubled(ctx context.Context, limits Limits, most int) ([]*Endpoint, error) {
	var rows []endpointRow
	const query = `SELECT ` + endpointColumns + ` FROM endpoints WHERE enabled = 1 AND failures >= ? OR enabled = 0 AND disabled_reason <> ? ORDER BY id DESC`
	if err := e.DB.Select(ctx, &rows, query, tellAfter, DisabledByHand); err != nil {
		return nil, fmt.Errorf("looking for endpoints in trouble: %w", err)
	}
	var troubled []*Endpoint
	for i := range rows {
		endpoint, err := rows[i].endpoint()
		if err != nil {
			return nil, err
		}
		if endpoint.limits().within(limits) && len(troubled) < most {
			troubled = append(troubled, endpoint)
		}
	}
	return troubled, nil
}

// isEndpointID tells whether a text is an id in the one form that we write.
func isEndpointID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}
