package main_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
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
