package main_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The README's table and the program's flags say the same.
func TestReadmeListsEveryVariable(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, command := range [][]string{{"serve"}, {"connections", "list"}} {
		cmd := exec.Command(binary, append(command, "--help")...)
		cmd.Env = environment(nil)
		help, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\(\$(GATEHOUSE_[A-Z_]+)\)`).FindAllStringSubmatch(string(help), -1) {
			known = append(known, m[1])
		}
	}
	if len(known) < 20 {
		t.Fatalf("the help names only %d variables", len(known))
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `GATEHOUSE_.*$").FindAllString(string(readme), -1) {
		first := regexp.MustCompile(`^\|[^|]*\|`).FindString(row)
		documented = append(documented, regexp.MustCompile(`GATEHOUSE_[A-Z_]+`).FindAllString(first, -1)...)
	}
	for _, name := range known {
		if !slices.Contains(documented, name) {
			t.Errorf("%s is not in the README's table", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(known, name) {
			t.Errorf("%s is in the README's table, and no flag has it", name)
		}
	}
}

// auditActions are those that docs/operations.md explains.
func auditActions(t *testing.T) []string {
	t.Helper()
	_, chapter, _ := strings.Cut(string(read(t, "../../docs/operations.md")), "\n## Who did what\n")
	chapter, _, _ = strings.Cut(chapter, "\n### ")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `[a-z].*$").FindAllString(chapter, -1) {
		first := regexp.MustCompile(`^\|[^|]*\|`).FindString(row)
		for _, m := range regexp.MustCompile("`([a-z_]+\\.[a-z_]+)`").FindAllStringSubmatch(first, -1) {
			documented = append(documented, m[1])
		}
	}
	if len(documented) < 30 {
		t.Fatalf("the table names only %v", documented)
	}
	return documented
}

// What the code records and what operators read about it are the same. An action is the one word of its kind in the
// source: a noun of the table, a full stop and a verb. The walk through the API finds those with another noun.
func TestTheManualListsEveryAuditedAction(t *testing.T) {
	documented := auditActions(t)
	var nouns []string
	for _, action := range documented {
		noun, _, _ := strings.Cut(action, ".")
		nouns = append(nouns, noun)
	}
	action := regexp.MustCompile(`"((?:` + strings.Join(slices.Compact(slices.Sorted(slices.Values(nouns))), "|") + `)\.[a-z_]+)"`)
	recorded := []string{"operation.share", "operation.revoke", "operation.unlock"} // by the type of what was asked
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/wording/") {
			return err // wording has statuses, which look alike
		}
		for _, m := range action.FindAllSubmatch(read(t, path), -1) {
			recorded = append(recorded, string(m[1]))
			if !slices.Contains(documented, string(m[1])) {
				t.Errorf("%s has %s, which docs/operations.md does not list", path, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range documented {
		if !slices.Contains(recorded, a) {
			t.Errorf("docs/operations.md lists %s, which nothing records", a)
		}
	}
}

// The alerts do what they say: promtool plays some of them through.
func TestTheAlertsPlayThrough(t *testing.T) {
	need(t, "promtool")
	if out, err := exec.CommandContext(t.Context(), "promtool", "test", "rules", "../../docs/prometheus/rules_test.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
