package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// table is how lists are shown to people: plain columns, and on a terminal no wider than that. The first column is
// never cut, because other commands ask for what is in it; on a narrow terminal the last are left off.
type table struct {
	t      *terminal
	header []string
	rows   [][]string
	// lastIsKey says that other commands ask for what is in the last column: where it does not fit it stands below
	// its row, whole.
	lastIsKey bool
}

// leastColumn is what a column is not cut below.
const leastColumn = 12

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
	last := len(b.header) - 1
	widths := b.widths(len(b.header))
	below := b.lastIsKey && (len(widths) <= last || b.tooLong(last, widths[last]))
	if below {
		widths = b.widths(last)
	}
	var all strings.Builder
	line := func(cells []string, toneOf func(i int, text string) tone) {
		space := 0
		for i, width := range widths {
			text := cut(cells[i], width)
			all.WriteString(strings.Repeat(" ", space) + paint(b.t.out, toneOf(i, text), text))
			space = width - wide(text) + 2
		}
		all.WriteByte('\n')
		if below {
			all.WriteString("  " + paint(b.t.out, toneOf(last, cells[last]), cells[last]) + "\n")
		}
	}
	line(b.header, func(int, string) tone { return strong })
	for _, row := range b.rows {
		line(row, func(i int, text string) tone {
			if slices.Contains([]string{"STATUS", "STATE", "OUTCOME"}, b.header[i]) {
				return toneOf(text)
			}
			return plain
		})
	}
	_, err := fmt.Fprint(b.t.out, all.String())
	return err
}

// tooLong tells whether something in a column is wider than it.
func (b *table) tooLong(column, width int) bool {
	return slices.ContainsFunc(b.rows, func(row []string) bool { return wide(row[column]) > width })
}

// widths are those of the first n columns, as far as they are shown; the widest give way until all fit.
func (b *table) widths(n int) []int {
	widths := make([]int, n)
	for _, row := range append(b.rows, b.header) {
		for i, text := range row[:n] {
			widths[i] = max(widths[i], wide(text))
		}
	}
	limit, all := columns(b.t.out), 2*(len(widths)-1)
	for _, n := range widths {
		all += n
	}
	for ; limit > 0 && all > limit; all-- {
		widest := 0
		for i := 1; i < len(widths); i++ {
			if widths[i] > leastColumn && (widest == 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest == 0 {
			return fitting(widths, limit)
		}
		widths[widest]--
	}
	return widths
}

// fitting leaves off what is too much.
func fitting(widths []int, limit int) []int {
	left := limit
	for i, n := range widths {
		if left < n && i > 0 {
			return widths[:i]
		}
		left -= n + 2
	}
	return widths
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
