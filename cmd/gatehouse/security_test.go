package main_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	main "gatehouse/cmd/gatehouse"
)

// What docs/security.md claims to be sealed is what is, the files of others are those that it names, and the
// tests that it leans on are there.
func TestWhatTheSecurityPageClaims(t *testing.T) {
	page := string(read(t, "../../docs/security.md"))

	var documented []string
	_, table, _ := strings.Cut(page, "| Column | Bound to")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, row := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(row, "|")
		for _, m := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(cells[1], -1) {
			documented = append(documented, m[1]+" by "+strings.Trim(cells[2], " `"))
		}
	}
	var sealed []string
	for _, c := range main.SealedColumns() {
		sealed = append(sealed, c.Table+"."+c.Field+" by "+c.Key)
	}
	slices.Sort(documented)
	slices.Sort(sealed)
	if !slices.Equal(documented, sealed) {
		t.Errorf("the page says that these are sealed:\n%v\nthese are:\n%v", documented, sealed)
	}

	vendored := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|[^|]+\\| `([0-9a-f]{64})` \\|$").FindAllStringSubmatch(page, -1)
	for _, m := range vendored {
		if sum := fmt.Sprintf("%x", sha256.Sum256(read(t, "../../"+m[1]))); sum != m[2] {
			t.Errorf("%s has the hash %s, the page says %s", m[1], sum, m[2])
		}
	}
	var minified int
	written := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		if strings.HasSuffix(path, ".min.js") {
			minified++
		}
		if strings.HasSuffix(path, "_test.go") {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(data, -1) {
				written[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if minified != len(vendored) {
		t.Errorf("there are %d minified files, and the page has the hashes of %d", minified, len(vendored))
	}
	named := regexp.MustCompile("`(Test[A-Z]\\w+)`").FindAllStringSubmatch(page, -1)
	if len(named) < 20 {
		t.Errorf("the page names only %d tests", len(named))
	}
	for _, m := range named {
		if !written[m[1]] {
			t.Errorf("there is no test %s", m[1])
		}
	}
}
