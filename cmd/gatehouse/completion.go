package main

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"gatehouse/apikeys"
)

// The scripts ask this program for every completion, so they know the commands of the program that is installed,
// and are the same in all its versions.
var (
	//go:embed completion/gatehouse.bash
	bashCompletion string
	//go:embed completion/gatehouse.zsh
	zshCompletion string
	//go:embed completion/gatehouse.fish
	fishCompletion string
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCommand) Run(t *terminal) error {
	script := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell]
	_, err := fmt.Fprint(t.out, script)
	return err
}

// completeCommand is what the scripts call: with the shell, and the words behind the program's name up to and with
// the one that is being written. It prints a line for each way to go on; where there is none the shell offers files.
type completeCommand struct {
	Words []string `arg:"" optional:""`
}

func (c *completeCommand) Run(k *kong.Kong, t *terminal) error {
	if len(c.Words) < 2 {
		return nil
	}
	shell, words := c.Words[0], c.Words[1:]
	kept := ""
	if shell == "bash" {
		words, kept = unsplit(words)
	}
	for _, found := range complete(k.Model, words) {
		line := strings.TrimPrefix(found.word, kept)
		switch shell {
		case "zsh":
			line = strings.ReplaceAll(line, ":", `\:`) + ":" + found.help
		case "fish":
			line += "\t" + found.help
		}
		if _, err := fmt.Fprintln(t.out, line); err != nil {
			return err
		}
	}
	return nil
}

// unsplit joins what bash takes apart at = and at :, and returns the beginning of the last word that bash does not
// replace.
func unsplit(words []string) (joined []string, kept string) {
	glue := false
	for _, w := range words {
		apart := strings.Trim(w, "=:") == "" && w != ""
		if last := len(joined) - 1; (apart || glue) && last >= 0 {
			if kept = joined[last]; apart {
				kept += w
			}
			joined[last] += w
		} else {
			joined, kept = append(joined, w), ""
		}
		glue = apart
	}
	return joined, kept
}

// candidate is a word that may stand where the last one is being written.
type candidate struct{ word, help string }

// walk reads what stands before the last word: the command so far, the flag whose value comes next, if one does, and
// how many arguments were given.
func walk(app *kong.Application, words []string) (node *kong.Node, flag *kong.Flag, given int) {
	node = app.Node
	for _, w := range words {
		name, _, valued := strings.Cut(w, "=")
		switch child := childOf(node, w); {
		case flag != nil: // w is its value
			flag = nil
		case strings.HasPrefix(w, "-"):
			if flag = flagOf(node, name); flag != nil && (valued || flag.IsBool()) {
				flag = nil
			}
		case child != nil && given == 0:
			node = child
		default:
			given++
		}
	}
	return node, flag, given
}

// complete returns what may stand in the place of the last word.
func complete(app *kong.Application, words []string) (found []candidate) {
	if len(words) > 1 && words[0] == "help" {
		words = words[1:] // what follows is the command that help is wanted of
	}
	last := words[len(words)-1]
	node, flag, given := walk(app, words[:len(words)-1])
	add := func(word, help string) {
		if strings.HasPrefix(word, last) {
			found = append(found, candidate{word, help})
		}
	}
	name, written, valued := strings.Cut(last, "=")
	switch {
	case flag != nil:
		for _, v := range valuesOf(flag.Value, last) {
			add(v, "")
		}
	case strings.HasPrefix(last, "-") && valued:
		if f := flagOf(node, name); f != nil {
			for _, v := range valuesOf(f.Value, written) {
				add(name+"="+v, "")
			}
		}
	case strings.HasPrefix(last, "-"):
		for _, f := range flagsOf(node) {
			add("--"+f.Name, f.Help)
		}
	default:
		if given == 0 {
			for _, child := range node.Children {
				if !child.Hidden {
					add(child.Name, child.Help)
				}
			}
		}
		if given < len(node.Positional) {
			for _, v := range valuesOf(node.Positional[given], last) {
				add(v, "")
			}
		}
	}
	return found
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// flagsOf are the flags that a command takes, and those of the command that a group stands for.
func flagsOf(node *kong.Node) (flags []*kong.Flag) {
	for _, group := range node.AllFlags(true) {
		flags = append(flags, group...)
	}
	if node.DefaultCmd != nil {
		flags = append(flags, node.DefaultCmd.Flags...)
	}
	return flags
}

func flagOf(node *kong.Node, name string) *kong.Flag {
	for _, f := range flagsOf(node) {
		if "--"+f.Name == name {
			return f
		}
	}
	return nil
}

// valuesOf are what a value can be, where that is known. In a list with commas it is the last that is being written.
func valuesOf(v *kong.Value, written string) []string {
	words := v.Tag.Get("words")
	if words == "" {
		words = v.Enum
	}
	if words == "" {
		return nil
	}
	all, before := strings.Split(words, ","), ""
	if words == "scopes" {
		all = apikeys.Scopes()
	}
	if v.IsSlice() {
		before = written[:strings.LastIndex(written, ",")+1]
	}
	for i := range all {
		all[i] = before + all[i]
	}
	return all
}
