package main

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"gatehouse/doordeck"
	"gatehouse/internal/sqldb"
	"gatehouse/sharing"
)

// doordeckCheck is what doctor looks at on Doordeck's side.
type doordeckCheck struct {
	*doctorCommand
	reach
	client *doordeck.Client
	issuer doordeck.Issuer
	now    time.Time     // Doordeck's; zero when it did not answer
	skew   time.Duration // of this machine's clock, positive when it is ahead
}

const fixApplication = "compare GATEHOUSE_DOORDECK_ISSUER, …_SIGNING_KEY_FILE and …_KEY_ID with what is registered at Doordeck, to the last slash"

// checks are in the order in which each needs what the ones before it found.
func (d *doordeckCheck) checks() []check {
	if !d.doordeck() {
		return []check{{"Doordeck", func(context.Context) finding {
			return finding{
				Status: statusOff, Detail: "no application is configured",
				Fix: "set GATEHOUSE_DOORDECK_ISSUER, GATEHOUSE_DOORDECK_SIGNING_KEY_FILE and GATEHOUSE_DOORDECK_KEY_ID",
			}
		}}}
	}
	return []check{
		{"Doordeck: key", d.key},
		{"Doordeck: DNS", d.dns},
		{"Doordeck: TLS", d.tls},
		{"Doordeck: API", d.api},
		{"Doordeck: clock", d.clock},
		{"Doordeck: identities", d.identities},
	}
}

func (d *doordeckCheck) key(context.Context) finding {
	key, err := d.applicationKey()
	if err != nil {
		return fail("give it the application's private key, mode 0600", "%s", oneLine(err))
	}
	d.issuer = doordeck.Issuer{URL: d.DoordeckIssuer, Key: key}
	return ok("%s, key %s", d.DoordeckSigningKeyFile, key.ID())
}

// api asks for the time, which needs no token.
func (d *doordeckCheck) api(ctx context.Context) finding {
	if d.lost != "" {
		return off("unknown: %s", d.lost)
	}
	client, err := d.doordeckClient(nil)
	if err != nil {
		return fail("correct GATEHOUSE_DOORDECK_API_URL", "%s", oneLine(err))
	}
	began := time.Now()
	now, err := client.Time(ctx)
	if err != nil {
		return fail(d.fixTLS(err), "%s", oneLine(err))
	}
	ended := time.Now()
	d.client, d.now, d.skew = client, now, apart(now, began, ended)
	return ok("%s answers (%d ms)", d.DoordeckAPIURL.Host, ended.Sub(began).Milliseconds())
}

// clock compares ours with Doordeck's. The gateway signs by Doordeck's, so that a difference does little harm.
func (d *doordeckCheck) clock(context.Context) finding {
	switch {
	case d.now.IsZero():
		return off("unknown: Doordeck did not answer")
	case d.skew.Abs() < 2*time.Second:
		return ok("within two seconds of Doordeck's")
	}
	side := "ahead of"
	if d.skew < 0 {
		side = "behind"
	}
	return warn("let this machine's clock follow a time server (NTP)", "%s %s Doordeck's; the gateway signs by Doordeck's", d.skew.Abs(), side)
}

// identities looks how they stand, and shows Doordeck the token of one. Only of an identity: with a token of
// anybody else Doordeck would make a user.
func (d *doordeckCheck) identities(ctx context.Context) finding {
	if d.client == nil || d.issuer.URL == "" {
		return off("unknown: see above")
	}
	var all []sharing.Identity
	looked := false
	d.peek(ctx, func(db *sqldb.DB) (_ finding, err error) {
		all, err = sharing.Stored(ctx, db)
		looked = err == nil
		return finding{}, err
	})
	if !looked { // a gateway runs, or there is no database
		var err error
		if all, err = d.askIdentities(ctx); err != nil {
			return off("unknown: %s", oneLine(err))
		}
	}
	if len(all) == 0 {
		return off("there are none yet: make one with gatehouse identities create")
	}
	if refused := d.token(ctx, all[0]); refused != nil {
		return *refused
	}
	var troubled []string
	for _, i := range all {
		if i.Status != sharing.StatusReady {
			troubled = append(troubled, i.Name+" "+i.Status)
		}
	}
	if len(troubled) > 0 {
		return warn("see gatehouse identities show NAME", "Doordeck accepts issuer and key; %d of %d identities are not ready: %s",
			len(troubled), len(all), strings.Join(troubled[:min(5, len(troubled))], ", "))
	}
	return ok("Doordeck accepts issuer and key; identities that are ready: %d of %d", len(all), len(all))
}

// token has Doordeck judge an identity's token by asking for its doors.
func (d *doordeckCheck) token(ctx context.Context, i sharing.Identity) *finding {
	issuer := d.issuer
	issuer.Clock = doordeck.NewClock(d.client.Time, nil)
	token, err := issuer.Token(doordeck.Person{
		Subject: i.Subject, Email: i.Email, EmailVerified: i.EmailVerified,
		Telephone: i.Telephone, TelephoneVerified: i.TelephoneVerified, Name: i.DisplayName,
	}, time.Minute)
	if err == nil && issuer.Clock.Set(ctx) == nil {
		_, err = d.client.ShareableLocks(ctx, token)
	}
	if err == nil {
		return nil
	}
	f := warn("ask again; if it stays so, see Doordeck's status", "%s", oneLine(err))
	if refused, is := errors.AsType[*doordeck.Error](err); is && refused.Class == doordeck.Unauthorized {
		f = fail(fixApplication, "Doordeck does not accept a token that is signed for identity %s", i.Name)
	}
	return &f
}

// askIdentities asks the gateway that runs.
func (d *doordeckCheck) askIdentities(ctx context.Context) ([]sharing.Identity, error) {
	here, err := d.here()
	if err != nil {
		return nil, err
	}
	return list[sharing.Identity](ctx, here, "/v1/identities", url.Values{}, 1000)
}
