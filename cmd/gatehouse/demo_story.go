package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"gatehouse/internal/natsauth"
)

func randomToken() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return "demo_" + base64.RawURLEncoding.EncodeToString(b)
}

// heard is a message as a subscriber gets it.
type heard struct {
	subject string
	body    []byte
}

// resource is what the message is about, such as events/700000001.
func (h heard) resource() string {
	var m struct{ Subject string }
	_ = json.Unmarshal(h.body, &m)
	return m.Subject
}

// subscribe listens as any NATS program would: with credentials minted for it.
func (d *demo) subscribe(ctx context.Context) (<-chan heard, error) {
	_, creds, err := d.app.nats.Mint(ctx, natsauth.Grant{Name: "demo", Events: []string{"*"}}, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("minting credentials: %w", err)
	}
	conn, err := nats.Connect("nats://"+d.app.embedded.Addr(), nats.UserCredentialBytes([]byte(creds.Reveal())), nats.Name("demo subscriber"))
	if err != nil {
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	seen := make(chan heard, 1024)
	for _, subject := range []string{"gatehouse.notification.>", "gatehouse.event.>"} {
		if _, err := conn.Subscribe(subject, func(m *nats.Msg) { seen <- heard{m.Subject, m.Data} }); err != nil {
			return nil, fmt.Errorf("subscribing: %w", err)
		}
	}
	context.AfterFunc(ctx, conn.Close)
	return seen, conn.Flush()
}

// connect makes a connect link and goes through it as a customer's browser does: the gateway's page, its
// button, DoorFlow's consent page, Allow, and back.
func (d *demo) connect(ctx context.Context) error {
	api := client{URL: d.url, Token: d.token}
	var link connectLink
	in := map[string]string{"reference": "Gatehouse demo"}
	if err := api.do(ctx, http.MethodPost, "/v1/connect-links", nil, in, &link); err != nil {
		return err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := visitor{&http.Client{Jar: jar, Timeout: 10 * time.Second}}
	start, err := browser.get(ctx, link.URL)
	if err != nil {
		return err
	}
	consent, err := browser.submit(ctx, start, nil)
	if err != nil {
		return err
	}
	done, err := browser.submit(ctx, consent, url.Values{"decision": {"allow"}})
	if err != nil {
		return err
	}
	if done.status != http.StatusOK {
		return fmt.Errorf("the callback answered %d", done.status)
	}
	var state connectLink
	if err := api.do(ctx, http.MethodGet, "/v1/connect-links/"+link.ID, nil, nil, &state); err != nil {
		return err
	}
	if state.Status != "connected" {
		return fmt.Errorf("the link is %q", state.Status)
	}
	// The fetcher sees the connection at once, so that the first webhook finds it.
	_, err = d.app.fetcher.Look(ctx)
	return err
}

// visitor is a browser without a window.
type visitor struct{ http *http.Client }

// shownPage is a page and where it was found.
type shownPage struct {
	at     *url.URL
	status int
	html   string
}

func (v visitor) get(ctx context.Context, target string) (shownPage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return shownPage{}, err
	}
	return v.open(req)
}

func (v visitor) open(req *http.Request) (shownPage, error) {
	resp, err := v.http.Do(req)
	if err != nil {
		return shownPage{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return shownPage{resp.Request.URL, resp.StatusCode, string(body)}, err
}

var (
	formTag   = regexp.MustCompile(`(?s)<form[^>]*>`)
	inputTag  = regexp.MustCompile(`(?s)<input[^>]*>`)
	attribute = regexp.MustCompile(`([a-z]+)(?:="([^"]*)")?`)
)

func attributes(tag string) map[string]string {
	found := map[string]string{}
	for _, m := range attribute.FindAllStringSubmatch(tag, -1) {
		found[m[1]] = html.UnescapeString(m[2])
	}
	return found
}

// submit presses the button of a page's form. extra are the values of the button itself.
func (v visitor) submit(ctx context.Context, p shownPage, extra url.Values) (shownPage, error) {
	form := formTag.FindString(p.html)
	if form == "" {
		return shownPage{}, errors.New("the page has no form")
	}
	values := url.Values{}
	for _, tag := range inputTag.FindAllString(p.html, -1) {
		a := attributes(tag)
		_, checked := a["checked"]
		if a["name"] != "" && (a["type"] != "radio" || checked) {
			values.Set(a["name"], a["value"])
		}
	}
	for name := range extra {
		values.Set(name, extra.Get(name))
	}
	action, err := p.at.Parse(attributes(form)["action"])
	if err != nil {
		return shownPage{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, action.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return shownPage{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", p.at.Scheme+"://"+p.at.Host)
	return v.open(req)
}
