package main

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// examplesText has examples of every command, with a comment where it is not plain what one is for. It is a shell
// script, which a test runs.
//
//go:embed examples.txt
var examplesText string

// examplesOf returns the examples of a command, such as "messages tail".
func examplesOf(path string) []string {
	var found []string
	for _, example := range strings.Split(strings.TrimSpace(examplesText), "\n\n") {
		for line := range strings.Lines(example) {
			_, words, is := strings.Cut(" "+strings.TrimSpace(line)+" ", " gatehouse ")
			if is && strings.HasPrefix(words, path+" ") && !strings.HasPrefix(line, "#") {
				found = append(found, example)
				break
			}
		}
	}
	return found
}

// configurationOf is the one command whose help lists the whole configuration.
const configurationOf = "serve"

// printHelp is kong's help with the examples of the command below it.
func printHelp(options kong.HelpOptions, c *kong.Context) error {
	node := c.Selected()
	shortened := false
	if node != nil {
		shortened = node.Path() != configurationOf && shorten(node)
		node.Group = nil // its commands need no heading of their own
	}
	if err := kong.DefaultHelpPrinter(options, c); err != nil || node == nil {
		return err
	}
	var b strings.Builder
	if shortened {
		b.WriteString("\nIt reads the same configuration as the gateway, from the same variables and flags. They are in:\n  gatehouse serve --help\n")
	}
	if examples := examplesOf(node.Path()); node.Leaf() && len(examples) > 0 {
		text := strings.Join(examples, "\n\n")
		b.WriteString("\nExamples:\n  " + strings.ReplaceAll(strings.ReplaceAll(text, "\n", "\n  "), "\n  \n", "\n\n") + "\n")
	}
	_, err := fmt.Fprint(c.Stdout, b.String())
	return err
}

// shorten hides the gateway's configuration, where a command has all of it, and tells whether it has.
func shorten(node *kong.Node) bool {
	if !slices.ContainsFunc(node.Flags, func(f *kong.Flag) bool { return f.Name == "public-url" }) {
		return false
	}
	for _, f := range node.Flags {
		f.Hidden = f.Hidden || f.Group != nil
	}
	return true
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command, such as: messages tail."`
}

func (c *helpCommand) Run(k *kong.Kong) error {
	_, unknown := misnamed(k, c.Command)
	if unknown == nil {
		_, unknown = k.Parse(append(c.Command, "--help")) // which shows it, and ends
	}
	wanted := "there is no command " + strings.Join(c.Command, " ")
	if _, meant, similar := strings.Cut(unknown.Error(), ", did you mean"); similar {
		return usageError(wanted + ", did you mean" + meant)
	}
	return usageError(wanted + "; gatehouse help lists them")
}

// refuse says what is wrong with a command line, and returns the exit code. A command that only stands for others
// shows them.
func refuse(parser *kong.Kong, args []string, err error) int {
	wrong, ok := errors.AsType[*kong.ParseError](err)
	if !ok || wrong.Context == nil {
		fmt.Fprintln(parser.Stderr, "gatehouse:", oneLine(err))
		return exitUsage
	}
	node := wrong.Context.Selected()
	if group, unknown := misnamed(parser, args); unknown != nil {
		node, err = group, unknown
	}
	if incomplete(node, args) {
		wrong.Context.Stdout = parser.Stderr
		_ = wrong.Context.PrintUsage(false)
		return exitUsage
	}
	line := oneLine(err)
	if node != nil {
		line = strings.TrimPrefix(line, node.Path()+": ") // of what is found wrong with the configuration
	}
	if !strings.Contains(line, "GATEHOUSE_") && !strings.Contains(line, "did you mean") {
		line += "; see gatehouse --help"
		if node != nil {
			line = strings.TrimSuffix(line, "--help") + node.Path() + " --help"
		}
	}
	fmt.Fprintln(parser.Stderr, "gatehouse:", line)
	return exitUsage
}

// misnamed tells whether the words of a command line name a group and then none of its commands, which kong takes for an
// argument of the command that the group stands for.
func misnamed(parser *kong.Kong, words []string) (group *kong.Node, unknown error) {
	group = parser.Model.Node
	for i, word := range words {
		at := slices.IndexFunc(group.Children, func(n *kong.Node) bool { return n.Name == word })
		if at >= 0 {
			group = group.Children[at]
			continue
		}
		if stands := group.DefaultCmd; stands != nil && len(stands.Positional) == 0 && !strings.HasPrefix(word, "-") {
			group.DefaultCmd = nil
			traced, err := kong.Trace(parser, words[:i+1])
			if group.DefaultCmd = stands; err == nil {
				err = traced.Error
			}
			return group, err
		}
		break
	}
	return nil, nil
}

// incomplete tells whether a command line names a group of commands, and none of them.
func incomplete(node *kong.Node, args []string) bool {
	if node == nil {
		return len(args) == 0
	}
	return !node.Leaf() && len(args) > 0 && args[len(args)-1] == node.Name
}
