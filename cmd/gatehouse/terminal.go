package main

import (
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// terminal is where a command reads and writes.
type terminal struct {
	out, err io.Writer
}

// usualWidth is that of a terminal which does not know its own.
const usualWidth = 80

// columns is how wide a terminal is; 0 means that w is none, and that nothing is too wide for it.
func columns(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	if n, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && n > 0 {
		return n
	}
	return usualWidth
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// obeys tells whether w is a terminal that takes more than plain text: one that can go back in its line.
func obeys(w io.Writer) bool { return isTerminal(w) && os.Getenv("TERM") != "dumb" }

// tone is what a colour says, as the parameter of its escape sequence.
type tone string

const (
	plain   tone = ""
	strong  tone = "1"
	dim     tone = "2"
	bad     tone = "31"
	good    tone = "32"
	caution tone = "33"
)

// paint colours a text where w shows colours, and nobody has asked for none (https://no-color.org).
func paint(w io.Writer, t tone, text string) string {
	if t == plain || text == "" || os.Getenv("NO_COLOR") != "" || !obeys(w) {
		return text
	}
	return "\x1b[" + string(t) + "m" + text + "\x1b[0m"
}

// tones of the words that say how something stands. The others have none.
var tones = map[string]tone{
	"active": good, "applied": good, "confirmed": good, "current": good, "delivered": good, "done": good, "enabled": good,
	"granted": good, "ok": good, "ready": good, "recovered": good, "renewed": good, "resumed": good,
	"failing": caution, "partial": caution, "pending": caution, "queued": caution, "running": caution, "silent": caution,
	"unregistered": caution, "verification_required": caution, "waiting": caution, "warn": caution,
	"denied": bad, "expired": bad, "fail": bad, "failed": bad, "parked": bad, "reauthorize": bad, "refused": bad, "unknown": bad,
	"cancelled": dim, "disabled": dim, "disconnected": dim, "off": dim, "old": dim, "revoked": dim, "started": dim,
}

// toneOf is the tone of a status, which its first word tells.
func toneOf(status string) tone {
	word, _, _ := strings.Cut(strings.ToLower(status), " ")
	return tones[word]
}

// when shows a time in the zone of whoever reads it: in full, but on a terminal only what is needed to know it.
func (t *terminal) when(at time.Time) string {
	if at.IsZero() || !isTerminal(t.out) {
		return local(at)
	}
	now := time.Now()
	switch at = at.Local(); {
	case at.Format(time.DateOnly) == now.Format(time.DateOnly):
		return at.Format(time.TimeOnly)
	case at.Year() == now.Year():
		return at.Format("2 Jan 15:04")
	}
	return at.Format(time.DateOnly)
}

// printable keeps out of a line what could drive a terminal or reorder the text: control characters and
// invisible ones.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// wide is how many columns of a terminal a text takes.
func wide(s string) (n int) {
	for _, r := range s {
		n += wideRune(r)
	}
	return n
}

func wideRune(r rune) int {
	switch k := width.LookupRune(r).Kind(); {
	case unicode.Is(unicode.Mn, r):
		return 0
	case k == width.EastAsianWide || k == width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens a text to so many columns, and shows that it has.
func cut(s string, columns int) string {
	if wide(s) <= columns {
		return s
	}
	n := 0
	for i, r := range s {
		if n += wideRune(r); n >= columns {
			return s[:i] + "…"
		}
	}
	return s
}
