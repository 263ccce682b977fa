package main

import (
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// browser is one without a window.
type browser struct{ http *http.Client }

// shownPage is a page and where it was found.
type shownPage struct {
	at     *url.URL
	status int
	html   string
}

func (b browser) get(ctx context.Context, target string) (shownPage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return shownPage{}, err
	}
	return b.open(req)
}

func (b browser) open(req *http.Request) (shownPage, error) {
	resp, err := b.http.Do(req)
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
func (b browser) submit(ctx context.Context, p shownPage, extra url.Values) (shownPage, error) {
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
	return b.open(req)
}
