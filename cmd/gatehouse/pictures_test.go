package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// largestPicture is what one may weigh, for whoever reads the README over a slow line.
const largestPicture = 150 << 10

// The pictures of the README are made from the demo, when GATEHOUSE_SCREENSHOTS says where to: CONTRIBUTING.md tells how.
func TestThePicturesOfTheREADME(t *testing.T) {
	dir := os.Getenv("GATEHOUSE_SCREENSHOTS")
	if dir == "" {
		t.Skip("skipped: GATEHOUSE_SCREENSHOTS does not say where to")
	}
	cmd, _ := demoIn(t)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
	}()
	link := ""
	for lines := bufio.NewScanner(stdout); link == "" && lines.Scan(); {
		link = regexp.MustCompile(`http://\S+/sign-in/\S+|$`).FindString(lines.Text())
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	at, err := url.Parse(link)
	if err != nil || at.Host == "" {
		t.Fatalf("the demo gives no link: %q %v", link, err)
	}
	b := newChrome(t, &gateway{t: t, url: "http://" + at.Host})
	b.visit(link)
	b.click("main form button")
	b.see("nav")
	// Long enough for the lines to be some.
	eventually(t, 4*time.Minute, func() string {
		if n := ask[int](b, `+document.querySelector(".spark .figures b").innerText.replace(/\D/g, "")`); n < 450 {
			return fmt.Sprintf("only %d messages were said", n)
		}
		return ""
	})
	for _, p := range []struct {
		name, path string
		// then is what is followed from there, as its link says.
		then   string
		height int64
	}{
		{"overview", "/", "", 820},
		{"messages", "/messages?subject=" + url.QueryEscape("gatehouse.event.>"), "", 800},
		{"endpoint", "/endpoints", "building", 900},
		{"door", "/doors/ada", "Meeting Room", 800},
	} {
		b.visit(p.path)
		if p.then != "" {
			found := fmt.Sprintf(`[...document.querySelectorAll("main a")].find(a => a.innerText.includes(%q))`, p.then)
			b.eventually("there is no link "+p.then, "!!"+found)
			there := ask[string](b, found+".href")
			b.visit(there)
		}
		b.eventually("it goes on loading", `!document.querySelector(".spinner")`)
		b.eventually("nothing comes live", `!document.querySelector("[data-live]") || document.querySelectorAll("#rows .fresh").length > 2`)
		for _, l := range looks[:2] {
			b.look(l)
			b.do("sizing", chromedp.EmulateViewport(1200, p.height))
			png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			b.must("taking a picture", err)
			if len(png) > largestPicture {
				t.Errorf("%s-%s.png has %d KB", p.name, l.name, len(png)>>10)
			}
			b.must("making a directory for pictures", os.MkdirAll(dir, 0o755))
			b.must("keeping a picture", os.WriteFile(filepath.Join(dir, p.name+"-"+l.name+".png"), png, 0o644))
		}
	}
}
