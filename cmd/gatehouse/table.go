package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// table is how lists are shown to people: plain columns, and on a terminal no wider than that. There a text or a list is
// cut where that lets a row stay on one line. Otherwise the columns that find no room stand below, indented, their
// headings too. What is one word is never cut: other commands ask for it.
type table struct {
	t      *terminal
	header []string
	rows   [][]string
}

const (
	// leastText is what a cell of several words is not cut below.
	leastText = 20
	// longestID is more than the ids have; a longer word is an address, or a stranger's.
	longestID = 80
)

func (t *terminal) table(header ...string) *table { return &table{t: t, header: header} }

// row adds a row. What would drive the terminal is taken out of it.
func (b *table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		if at, is := c.(time.Time); is {
			c = b.t.when(at)
		}
		row[i] = printable(fmt.Sprint(c))
	}
	b.rows = append(b.rows, row)
}

// print writes the table. A column that says how something stands is coloured.
func (b *table) print() error {
	lines := b.lines()
	var all strings.Builder
	write := func(cells []string, toneOf func(i int, text string) tone) {
		for n, line := range lines {
			if n > 0 {
				all.WriteString(below)
			}
			space := 0
			for _, c := range line {
				text := cut(cells[c.index], c.width)
				all.WriteString(strings.Repeat(" ", space) + paint(b.t.out, toneOf(c.index, text), text))
				space = c.width - wide(text) + 2
			}
			all.WriteByte('\n')
		}
	}
	write(b.header, func(int, string) tone { return strong })
	for _, row := range b.rows {
		write(row, func(i int, text string) tone {
			if slices.Contains([]string{"STATUS", "STATE", "OUTCOME"}, b.header[i]) {
				return toneOf(text)
			}
			return plain
		})
	}
	_, err := fmt.Fprint(b.t.out, all.String())
	return err
}

// column is where one of the columns stands in its line.
type column struct {
	index, width int
	whole        int // the width at which nothing is cut
}

// below is in front of what did not fit in its row's first line.
const below = "  "

// lines are the columns of each line of a row. A column goes to the first line with room for it.
func (b *table) lines() (lines [][]column) {
	limit := columns(b.t.out)
	if limit == 0 {
		limit = math.MaxInt
	}
	room := func(line int) int { return limit - min(line, 1)*len(below) }
	for i := range b.header {
		c, at := b.column(i), 0
		for at < len(lines) && span(lines[at])+2+c.width > room(at) {
			at++
		}
		if at == len(lines) {
			lines = append(lines, nil)
		}
		lines[at] = append(lines[at], c)
	}
	for n, line := range lines {
		widen(line, room(n))
	}
	return lines
}

// column measures a column, at its least width.
func (b *table) column(i int) column {
	c := column{index: i}
	for _, row := range append(b.rows, b.header) {
		n := wide(row[i])
		if c.whole = max(c.whole, n); strings.Contains(row[i], " ") || n > longestID {
			n = min(n, leastText)
		}
		c.width = max(c.width, n)
	}
	return c
}

// span is how wide a line is.
func span(line []column) int {
	n := 2 * (len(line) - 1)
	for _, c := range line {
		n += c.width
	}
	return n
}

// widen gives what is left of a line to what is cut in it, evenly.
func widen(line []column, limit int) {
	for left := limit - span(line); left > 0; {
		narrowest := -1
		for i, c := range line {
			if c.width < c.whole && (narrowest < 0 || c.width < line[narrowest].width) {
				narrowest = i
			}
		}
		if narrowest < 0 {
			return
		}
		line[narrowest].width++
		left--
	}
}

// fields shows one item: a line for each of its fields, name and value. Nothing of it is cut.
func (t *terminal) fields(fields [][2]string) error {
	widest := 0
	for _, f := range fields {
		widest = max(widest, wide(printable(f[0])))
	}
	var all strings.Builder
	for _, f := range fields {
		name, value := printable(f[0]), printable(f[1])
		tone := plain
		if name == "status" || name == "state" {
			tone = toneOf(value)
		}
		fmt.Fprintf(&all, "%s%s  %s\n", name, strings.Repeat(" ", widest-wide(name)), paint(t.out, tone, value))
	}
	_, err := fmt.Fprint(t.out, all.String())
	return err
}
