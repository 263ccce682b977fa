package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	image   = regexp.MustCompile(`src(?:set)?="([^"]+)"`)
)

// Whoever follows a link of the documentation arrives, at the heading too.
func TestLinksOfTheDocumentationLead(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Glob("../../*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages = append(pages, top...)
	texts, anchors := map[string]string{}, map[string]map[string]bool{}
	for _, page := range pages {
		texts[page] = fenced.ReplaceAllString(string(read(t, page)), "")
		anchors[page] = map[string]bool{}
		for _, m := range heading.FindAllStringSubmatch(texts[page], -1) {
			anchors[page][anchor(m[1])] = true
		}
	}
	followed := 0
	for page, text := range texts {
		for _, m := range slices.Concat(link.FindAllStringSubmatch(text, -1), image.FindAllStringSubmatch(text, -1)) {
			file, at, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			followed++
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if known := anchors[target]; at != "" && known != nil && !known[at] {
				t.Errorf("%s links to %s: there is no such heading", page, m[1])
			}
		}
	}
	if followed < 50 {
		t.Errorf("only %d links were followed", followed)
	}
}

// anchor is what a heading is called in links, as GitHub has it.
func anchor(heading string) string {
	heading = link.ReplaceAllString(heading, "]")
	kept := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
	return strings.ReplaceAll(kept, " ", "-")
}
