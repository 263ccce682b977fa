package oauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/internal/vault"
)

// Create makes a link.
func (c *Connect) Create(ctx context.Context, req LinkRequest) (Link, error) {
	if err := req.check(c.origins); err != nil {
		return Link{}, err
	}
	now := c.now()
	r := linkRow{
		ID: random().Reveal(), Status: StatusOpen, ReturnURL: req.ReturnURL, Reference: req.Reference, Account: req.Account,
		CreatedAt: now.UnixMilli(), ExpiresAt: now.Add(linkFor).UnixMilli(),
	}
	if err := c.insert(ctx, r); err != nil {
		return Link{}, fmt.Errorf("making a connect link: %w", err)
	}
	return c.shown(r), nil
}

// Get returns a link, or ErrLinkNotFound.
func (c *Connect) Get(ctx context.Context, id string) (Link, error) {
	r, err := c.read(ctx, id)
	if err != nil {
		return Link{}, err
	}
	return c.shown(r), nil
}

// Complete connects the account of a pending link. The code proves that the app's own customer came back
// with it; it works once. Errors: ErrLinkNotFound, ErrLinkExpired, ErrLinkSpent, ErrLinkNotPending,
// ErrCodeWrong, and the Connector's, such as that of fewer scopes.
func (c *Connect) Complete(ctx context.Context, id string, code vault.Secret) (Link, error) {
	r, err := c.read(ctx, id)
	if err != nil {
		return Link{}, err
	}
	switch r.status(c.now()) {
	case StatusPending:
	case StatusConnected:
		return Link{}, ErrLinkSpent
	case StatusExpired:
		return Link{}, ErrLinkExpired
	default:
		return Link{}, ErrLinkNotPending
	}
	if !equal(r.CodeHash, digest(code)) {
		return Link{}, ErrCodeWrong
	}
	g := Grant{Account: r.Connected, ExpiresAt: time.UnixMilli(r.TokenExpires), Scopes: strings.Fields(r.Scopes)}
	if g.Access, err = c.vault.Open(place(id, "access_token"), r.Access); err != nil {
		return Link{}, err
	}
	if g.Refresh, err = c.vault.Open(place(id, "refresh_token"), r.Refresh); err != nil {
		return Link{}, err
	}
	err = c.connections.Put(ctx, g, c.spendPending(ctx, r))
	if f, refused := fewer(err); refused {
		if failing := c.failPending(ctx, id, f.code); failing != nil {
			return Link{}, errors.Join(err, failing)
		}
		if unrevoked := c.revokeHeld(context.WithoutCancel(ctx), r); unrevoked != nil {
			c.log.Warn("the tokens of a link that did not connect could not be revoked; trying again", "error", unrevoked)
		}
		return Link{}, err
	}
	if err != nil {
		return Link{}, err
	}
	return c.Get(ctx, id)
}
