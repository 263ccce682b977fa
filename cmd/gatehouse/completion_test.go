package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The shells themselves complete, with the script that the program prints for them. bash has taken a line apart at =
// and at : when it asks; of zsh only what shows the candidates is replaced.
func TestShellsComplete(t *testing.T) {
	const zsh = `compdef() { :; }
_describe() { print -r -- "${(@)${(P)2}%%:*}"; }
_files() { print files; }
source <(gatehouse completion zsh)
ask() { local words=("$@") CURRENT=$#; _gatehouse; }
`
	const fish = `gatehouse completion fish | source
function ask; complete -C (string join ' ' -- $argv) | string replace -r '\t.*' '' | string join ' '; true; end
`
	const bash = `source <(gatehouse completion bash)
complete -p gatehouse | grep -q _gatehouse || exit 1
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gatehouse; [ ${#COMPREPLY[@]} -gt 0 ] && echo ${COMPREPLY[*]} || echo files; }
`
	type row struct{ line, want string }
	rows := []row{
		{"ask gatehouse mess", "messages"},
		{"ask gatehouse messages tail --js", "--json"},
		{"ask gatehouse connections --js", "--json"}, // which stands for connections list
		{"ask gatehouse share acme some-lock --role A", "ADMIN"},
		{"ask gatehouse share acme some-lock --email a@example.test --prov", "--provision"},
		{"ask gatehouse api-keys create x --scope messages,audit", "messages,audit:read"},
		{"ask gatehouse completion f", "fish"},
		{"ask gatehouse help messages ta", "tail"},
		{"ask gatehouse nats creds --dur", "--durable"},
		{"ask gatehouse serve --nats-operations of", "off"},
		{"ask gatehouse __comp", "files"},
	}
	for shell, script := range map[string]string{"bash": bash, "zsh": zsh, "fish": fish} {
		t.Run(shell, func(t *testing.T) {
			need(t, shell)
			rows := slices.Clone(rows)
			switch shell {
			case "bash":
				rows = append(rows, row{"ask gatehouse share acme some-lock --role = A", "ADMIN"}, row{"ask gatehouse share acme some-lock --role =", "USER ADMIN"},
					row{"ask gatehouse api-keys create x --scope messages : read,operations : un", "unlock"})
			case "fish":
				rows = slices.DeleteFunc(rows, func(r row) bool { return r.want == "files" }) // it looks for them itself
				fallthrough
			case "zsh":
				rows = append(rows, row{"ask gatehouse share acme some-lock --role=A", "--role=ADMIN"})
			}
			var want []string
			for _, r := range rows {
				script += r.line + "\n"
				want = append(want, r.want)
			}
			if shell == "zsh" { // colons are escaped there, and cut by what stands for _describe
				want[5] = `messages,audit\`
			}
			var out, errs bytes.Buffer
			cmd := exec.CommandContext(t.Context(), shell, "-c", script)
			cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &errs, t.TempDir()
			cmd.Env = []string{"PATH=" + binaries + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + cmd.Dir}
			if err := cmd.Run(); err != nil || errs.Len() > 0 {
				t.Fatalf("%v: %s", err, errs.String())
			}
			if got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}
