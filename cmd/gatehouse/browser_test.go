package main_test

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Everything that knows of chromedp is in this file.

//go:embed testdata/axe/axe.min.js
var axe string

// chrome is a headless Chromium with one tab.
type chrome struct {
	t   testing.TB
	g   *gateway
	ctx context.Context
}

// newChrome starts a browser that is thrown away with the test. Without Chromium, or with GATEHOUSE_BROWSER=off, the
// test is skipped, except in CI, where nobody sees a skip: there it fails.
func newChrome(t testing.TB, g *gateway) *chrome {
	t.Helper()
	off, path := os.Getenv("GATEHOUSE_BROWSER") == "off", ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	switch {
	case (off || path == "") && os.Getenv("CI") == "true":
		t.Fatal("the browser is needed in CI: install chromium, and leave GATEHOUSE_BROWSER alone")
	case off:
		t.Skip("skipped: GATEHOUSE_BROWSER=off")
	case path == "":
		t.Skip("skipped: chromium is not installed")
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"), // nothing is loaded from elsewhere
	)...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &chrome{t, g, ctx}
	t.Cleanup(func() {
		closing, done := context.WithTimeout(ctx, 10*time.Second)
		defer done()
		_ = chromedp.Cancel(closing)
		cancel()
		stop()
	})
	b.must("starting chromium", chromedp.Do(ctx))
	return b
}

// another is a second person at a browser of their own: nothing is shared with the first, cookies neither.
func (b *chrome) another() *chrome {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	b.t.Cleanup(cancel)
	other := &chrome{b.t, b.g, ctx}
	b.must("opening a browser for somebody else", chromedp.Do(ctx))
	return other
}

func (b *chrome) must(what string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// do runs steps, for at most a minute. When a page has come to its end, the browser numbers its nodes anew: a step that was
// looking at one of them begins again.
func (b *chrome) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	var err error
	for i := 0; i < len(steps) && err == nil; i++ {
		err = chromedp.Do(ctx, steps[i])
		for err != nil && strings.Contains(err.Error(), "Could not find node") && ctx.Err() == nil { // and so nothing was done to it
			err = chromedp.Do(ctx, steps[i])
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		b.t.Logf("the page at %s:\n%s", b.at(), b.html())
	}
	b.must(what, err)
}

// ask evaluates an expression of JavaScript; a promise is waited for.
func ask[T any](b *chrome, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	for err != nil && strings.Contains(err.Error(), "Inspected target navigated") && ctx.Err() == nil { // the page is being left
		v, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	}
	b.must("evaluating "+expression[:min(len(expression), 80)], err)
	return v
}

func (b *chrome) at() string { return ask[string](b, "location.pathname + location.search") }

func (b *chrome) html() string { return ask[string](b, "document.documentElement.outerHTML") }

func (b *chrome) text(selector string) string {
	return ask[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// visit opens a page of the gateway, or an address.
func (b *chrome) visit(target string) {
	b.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.g.url + target
	}
	b.do("opening "+target, chromedp.Navigate(target))
}

// see waits until a selector matches something visible.
func (b *chrome) see(selector string) {
	b.t.Helper()
	b.do("waiting for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

func (b *chrome) click(selector string) {
	b.t.Helper()
	b.eventually("the page has not come to its end, and to its scripts", `document.readyState === "complete"`)
	b.do("clicking "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// write types. (SendKeys of chromedp 0.23 reads a node's attributes without its lock.)
func (b *chrome) write(selector, text string) {
	b.t.Helper()
	b.do("typing into "+selector, chromedp.Focus(chromedp.CSS(selector), chromedp.NodeVisible), chromedp.KeyEvent(text))
}

// clear empties a field.
func (b *chrome) clear(selector string) {
	b.t.Helper()
	ask[bool](b, fmt.Sprintf("document.querySelector(%q).value = '', true", selector))
}

// zone moves the browser to a time zone.
func (b *chrome) zone(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: name})
	b.must("moving to "+name, err)
}

// press sends keys to whatever has the focus.
func (b *chrome) press(keys string) {
	b.t.Helper()
	b.do("pressing keys", chromedp.KeyEvent(keys))
}

// focus moves the focus as a script would.
func (b *chrome) focus(selector string) {
	b.t.Helper()
	ask[bool](b, fmt.Sprintf("document.querySelector(%q).focus(), true", selector))
}

// eventually waits until an expression is true.
func (b *chrome) eventually(what, expression string) {
	b.t.Helper()
	eventually(b.t, time.Minute, func() string {
		if !ask[bool](b, "!!("+expression+")") {
			return what + "; the page at " + b.at() + " says:\n" + b.text("main")
		}
		return ""
	})
}

// signIn signs in with a key.
func (b *chrome) signIn(key string) {
	b.t.Helper()
	b.visit("/")
	b.see("#key")
	b.write("#key", key)
	b.click("form[action='/sign-in'] button")
	b.see("nav")
}

type look struct {
	name, scheme string
	width        int64
}

// looks are how every page is looked at.
var looks = []look{{"light", "light", 1280}, {"dark", "dark", 1280}, {"narrow", "light", 390}, {"narrow-dark", "dark", 390}}

// inspect looks at the page that is open, in every look: axe must find no serious fault, nothing may stand out at the
// side, and a picture is kept where GATEHOUSE_SCREENSHOTS says.
func (b *chrome) inspect(name string) {
	b.t.Helper()
	for _, l := range looks {
		b.look(l)
		if over := ask[int](b, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
			b.t.Errorf("%s, %s: %d pixels stand out at the side, of %s", name, l.name, over, ask[string](b,
				`[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 60)).slice(0, 5).join(" ")`))
		}
		for _, fault := range b.faults() {
			b.t.Errorf("%s, %s: %s", name, l.name, fault)
		}
		b.picture(name + "-" + l.name)
	}
	b.look(looks[0])
}

// look chooses one.
func (b *chrome) look(l look) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	b.must("choosing "+l.name, err)
	b.do("sizing", chromedp.EmulateViewport(l.width, 900))
}

// faults are what axe calls serious or critical.
func (b *chrome) faults() []string {
	b.t.Helper()
	if !ask[bool](b, "typeof axe === 'object'") {
		ask[bool](b, axe+"\n;true")
	}
	return ask[[]string](b, `axe.run({resultTypes: ["violations"]}).then(r => r.violations
		.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).slice(0, 3).join(" | ")))`)
}

func (b *chrome) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("GATEHOUSE_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	b.must("taking a picture", err)
	b.must("making a directory for pictures", os.MkdirAll(dir, 0o755))
	b.must("keeping a picture", os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}

// complaints are what the browser has written to its console since the last call of listen, errors only.
func (b *chrome) listen() (complaints func() []string) {
	ctx, cancel := context.WithCancel(b.ctx)
	messages := chromedp.Console(ctx)
	var found []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range messages {
			if err != nil {
				return
			}
			if text := fmt.Sprintf("%+v", m); strings.Contains(strings.ToLower(text), "error") {
				found = append(found, text)
			}
		}
	}()
	return func() []string { cancel(); <-done; return found }
}

// cookies as http sees them are of no use to a browser: a session for plain requests is made by signing in plainly.
func (g *gateway) session(key string) *http.Cookie {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodPost, g.url+"/sign-in", strings.NewReader("key="+key))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := (&http.Client{Transport: probe.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		if strings.HasSuffix(c.Name, "gatehouse-session") && resp.StatusCode == http.StatusSeeOther {
			return c
		}
	}
	g.t.Fatalf("signing in was answered %d", resp.StatusCode)
	return nil
}
