package sharing

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"gatehouse/doordeck"
)

// sideBySide is how many calls are made for one operation at one time.
const sideBySide = 4

// directory finds people at Doordeck, and makes those known who are to be.
type directory struct{ actors actors }

// find fills in who the people are, and says of those whom it has not found why. An error says that the directory
// could not be asked; who was found until then is filled in.
func (d *directory) find(ctx context.Context, s Session, people []*part) (map[*part]string, error) {
	missing := map[*part]string{}
	named := map[doordeck.By][]*part{}
	for _, p := range people {
		if p.UserID == "" || p.PublicKey == "" {
			named[p.AskedBy] = append(named[p.AskedBy], p)
		}
	}
	for _, by := range []doordeck.By{doordeck.ByEmail, doordeck.ByTelephone, doordeck.ByForeignKey, doordeck.ByLocalKey} {
		if err := d.findBy(ctx, s, by, named[by], missing); err != nil {
			return missing, err
		}
	}
	var newcomers []*part
	for _, p := range named[doordeck.ByForeignKey] {
		if p.Provision != "" && missing[p] == whyNoSuchPerson {
			newcomers = append(newcomers, p)
		}
	}
	if err := d.each(ctx, newcomers, missing, func(ctx context.Context, p *part) (string, error) { return d.introduce(ctx, s, p) }); err != nil {
		return missing, err
	}
	return missing, d.each(ctx, named[doordeck.ByIdentity], missing, func(ctx context.Context, p *part) (string, error) {
		return d.findOne(ctx, s, p, doordeck.ByIdentity, p.token.Reveal(), whyToken)
	})
}

// each asks for people one by one, a few at one time, and stops where the directory cannot be asked.
func (d *directory) each(ctx context.Context, people []*part, missing map[*part]string, ask func(context.Context, *part) (string, error)) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for _, p := range people {
		group.Go(func() error {
			reason, err := ask(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			if delete(missing, p); reason != "" {
				missing[p] = reason
			}
			return err
		})
	}
	return group.Wait()
}

func (d *directory) findBy(ctx context.Context, s Session, by doordeck.By, people []*part, missing map[*part]string) error {
	if len(people) == 0 {
		return nil
	}
	values := make([]string, len(people))
	for i, p := range people {
		values[i] = p.Value
	}
	found, err := d.actors.Client().FindAll(ctx, s.Token, by, values)
	switch class := classOf(err); {
	case err != nil && class.Retryable():
		return err
	case class == doordeck.Invalid && len(people) > 1: // who of them is at fault is not said
		return d.each(ctx, people, missing, func(ctx context.Context, p *part) (string, error) {
			return d.findOne(ctx, s, p, by, p.Value, whyRefused)
		})
	}
	for _, p := range people {
		entry, ok := found[p.Value]
		switch {
		case err != nil:
			missing[p] = whyRefused
		case ok:
			p.is(entry)
		default:
			missing[p] = whyNoSuchPerson
		}
	}
	return nil
}

// is notes who a person is. Ids are compared as texts from here on, in the one form that they are kept in.
func (p *part) is(e doordeck.Entry) {
	p.UserID, p.PublicKey = strings.ToLower(string(e.ID)), e.PublicKey
}

// findOne returns why somebody was not found; refused is the word for a refusal.
func (d *directory) findOne(ctx context.Context, s Session, p *part, by doordeck.By, value, refused string) (string, error) {
	entry, err := d.actors.Client().Find(ctx, s.Token, by, value)
	switch {
	case err == nil:
		p.is(entry)
		return "", nil
	case classOf(err).Retryable():
		return whyUnavailable, err
	case classOf(err) == doordeck.NotFound:
		return whyNoSuchPerson, nil
	}
	return refused, nil
}

// introduce makes somebody known to Doordeck, and finds them.
func (d *directory) introduce(ctx context.Context, s Session, p *part) (string, error) {
	var n newcomer
	if err := json.Unmarshal([]byte(p.Provision), &n); err != nil {
		return whyProvision, nil
	}
	err := d.actors.Provision(ctx, doordeck.Person{
		Subject: p.Value, Email: n.Email, EmailVerified: n.EmailVerified, Telephone: n.Telephone, TelephoneVerified: n.TelephoneVerified, Name: n.DisplayName,
	})
	switch {
	case errors.Is(err, ErrReserved):
		return whyReserved, nil
	case err != nil && classOf(err).Retryable():
		return whyUnavailable, err
	case err != nil:
		return whyProvision, nil
	}
	return d.findOne(ctx, s, p, doordeck.ByForeignKey, p.Value, whyProvision)
}
