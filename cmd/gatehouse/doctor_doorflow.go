package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"gatehouse/internal/vault"
	"gatehouse/oauth"
)

// doorflowCheck is what doctor looks at on DoorFlow's side. What one check learns the next ones use.
type doorflowCheck struct {
	reach
	config *Config
	answer *http.Response // of the API, without its body; nil when there was none
	skew   time.Duration  // of this machine's clock, positive when it is ahead
}

const fixPortal = "compare GATEHOUSE_DOORFLOW_CLIENT_ID and …_CLIENT_SECRET with DoorFlow's developer portal"

// none stands for all the others where there is no DoorFlow.
func (d *doorflowCheck) none(context.Context) finding {
	return finding{
		Status: statusOff, Detail: "no OAuth application is configured",
		Fix: "set GATEHOUSE_DOORFLOW_CLIENT_ID and GATEHOUSE_DOORFLOW_CLIENT_SECRET",
	}
}

// api asks without a token: "unauthorized" is the answer of a healthy API.
func (d *doorflowCheck) api(ctx context.Context) finding {
	if d.lost != "" {
		return off("unknown: %s", d.lost)
	}
	began := time.Now()
	resp, err := d.get(ctx, d.config.DoorflowAPIURL.JoinPath("api/3/account").String())
	if err != nil {
		return fail(d.fixTLS(err), "%s", oneLine(err))
	}
	ended := time.Now()
	took := ended.Sub(began)
	d.answer = resp
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The header has whole seconds: on average it is half of one behind.
		d.skew = apart(date.Add(time.Second/2), began, ended)
	}
	detail := fmt.Sprintf("%s answers %d without a token (%d ms)", d.config.DoorflowAPIURL.Host, resp.StatusCode, took.Milliseconds())
	if resp.StatusCode != http.StatusUnauthorized {
		return warn("401 was expected: check GATEHOUSE_DOORFLOW_API_URL", "%s", detail)
	}
	return ok("%s", detail)
}

// get returns an answer without its body; redirects are not followed.
func (d *doorflowCheck) get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return resp, resp.Body.Close()
}

// apart is how far this machine's clock is ahead of one that told its time somewhen between began and ended, as far as that
// can be known: an answer that was long on its way says the less.
func apart(told, began, ended time.Time) time.Duration {
	unsure := ended.Sub(began) / 2
	skew := ended.Sub(told.Add(unsure))
	return (skew - min(max(skew, -unsure), unsure)).Round(100 * time.Millisecond)
}

// clock compares ours with DoorFlow's: webhooks whose Timestamp is further off than the tolerance are refused.
func (d *doorflowCheck) clock(context.Context) finding {
	if d.answer == nil {
		return off("unknown: DoorFlow did not answer")
	}
	if d.answer.Header.Get("Date") == "" {
		return off("unknown: the answer has no Date")
	}
	tolerance, far := d.config.DoorflowWebhookTolerance, d.skew.Abs()
	const fix = "let this machine's clock follow a time server (NTP)"
	side := "ahead of"
	if d.skew < 0 {
		side = "behind"
	}
	detail := fmt.Sprintf("%s %s DoorFlow's; a webhook may be off by %s", far, side, tolerance)
	switch {
	case far > tolerance*8/10:
		return fail(fix, "%s", detail)
	case far > max(2*time.Second, tolerance/10):
		return warn(fix, "%s", detail)
	case far < time.Second:
		return ok("within a second of DoorFlow's")
	}
	return ok("%s", detail)
}

// application proves the client id and secret by revoking a token that does not exist: DoorFlow answers 200
// to that, and 403 to whom it does not know.
func (d *doorflowCheck) application(ctx context.Context) finding {
	if d.answer == nil {
		return off("unknown: DoorFlow did not answer")
	}
	client, err := oauth.NewClient(oauth.Config{
		ClientID: d.config.DoorflowClientID, ClientSecret: d.config.DoorflowClientSecret,
		AuthorizeURL: d.config.DoorflowAuthorizeURL.String(), APIURL: d.config.DoorflowAPIURL.String(), RedirectURL: d.redirectURI(),
	})
	if err != nil {
		return fail(fixPortal, "%s", oneLine(err))
	}
	err = client.Revoke(ctx, vault.NewSecret("no-such-token-"+rand.Text()))
	if refused, is := errors.AsType[*oauth.Error](err); is && refused.Misconfigured() {
		return fail(fixPortal, "DoorFlow does not accept the client id and secret (%s)", refused.Code)
	}
	if err != nil {
		return warn("ask again; if it stays so, see DoorFlow's status", "%s", oneLine(err))
	}
	return ok("DoorFlow accepts the client id and secret")
}

func (d *doorflowCheck) redirectURI() string {
	return d.config.PublicURL.JoinPath("oauth/callback").String()
}

// redirect asks the authorize page as a browser would that has not signed in. DoorFlow answers 400 when the
// client or the redirect URI is not registered; anything else says only that it did not refuse.
func (d *doorflowCheck) redirect(ctx context.Context) finding {
	uri := d.redirectURI()
	page := oauth2.Config{
		ClientID: d.config.DoorflowClientID, RedirectURL: uri, Scopes: d.config.DoorflowScopes,
		Endpoint: oauth2.Endpoint{AuthURL: d.config.DoorflowAuthorizeURL.String()},
	}
	resp, err := d.get(ctx, page.AuthCodeURL(rand.Text(), oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
	switch {
	case err != nil:
		return fail("check GATEHOUSE_DOORFLOW_AUTHORIZE_URL", "%s", oneLine(err))
	case resp.StatusCode >= 500:
		return warn("ask again; if it stays so, see DoorFlow's status", "the authorize page answers %d", resp.StatusCode)
	case resp.StatusCode >= 400:
		return fail("register exactly this redirect URI in DoorFlow's developer portal, or set GATEHOUSE_PUBLIC_URL",
			"the authorize page refuses it (%d): %s", resp.StatusCode, uri)
	case d.config.PublicURL.Scheme != "https":
		return warn("set GATEHOUSE_PUBLIC_URL to an https URL; DoorFlow lets http://localhost pass for development only", "%s", uri)
	}
	return ok("%s is not refused", uri)
}

func (d *doorflowCheck) webhookSecret(context.Context) finding {
	to := d.config.PublicURL.JoinPath("webhooks/doorflow").String()
	secrets, err := d.config.webhookSecrets()
	switch {
	case err != nil:
		return fail("correct GATEHOUSE_DOORFLOW_WEBHOOK_SECRETS", "%s", oneLine(err))
	case d.config.DoorflowWebhookSecrets.IsZero():
		f := ok("the client secret, since GATEHOUSE_DOORFLOW_WEBHOOK_SECRETS is not set; webhooks come to %s", to)
		f.Fix = "if they are answered 401, DoorFlow's portal shows a webhook secret of its own: set that"
		return f
	case len(secrets) == 1:
		return ok("one, from GATEHOUSE_DOORFLOW_WEBHOOK_SECRETS; webhooks come to %s", to)
	}
	return ok("%d, from GATEHOUSE_DOORFLOW_WEBHOOK_SECRETS, all tried; webhooks come to %s", len(secrets), to)
}
