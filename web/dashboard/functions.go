package dashboard

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"gatehouse/webhooks"
	"gatehouse/wording"
)

// functions are what templates can call.
func (d *Dashboard) functions() template.FuncMap {
	return template.FuncMap{
		"asset":    d.asset,
		"time":     func(t time.Time) template.HTML { return timeTag(t, "") },
		"ago":      func(t time.Time) template.HTML { return timeTag(t, "ago") },
		"due":      func(t time.Time) template.HTML { return timeTag(t, "due") },
		"clock":    func(t time.Time) template.HTML { return timeTag(t, "clock") },
		"number":   number,
		"counted":  counted,
		"words":    func(s string) string { return strings.ReplaceAll(s, "_", " ") },
		"dict":     dict,
		"capital":  wording.Capital,
		"took":     took,
		"meaning":  meaning,
		"briefly":  briefly,
		"tone":     outcomeTone,
		"reason":   reasonOf,
		"online":   online,
		"lower":    func(s string) string { return wording.Capital(strings.ToLower(strings.ReplaceAll(s, "_", " "))) },
		"grants":   grants,
		"short":    short,
		"sentence": func(s string) string { return wording.Capital(s) + "." },
		"prose":    prose,
		"line":     line,
		"colour":   colourText,
		"curl":     curl,
		"group":    groupTitle,
	}
}

// timeTag writes a time in UTC. The script puts it into the viewer's zone, or says how long ago it is, and keeps the
// UTC for whoever points at it.
func timeTag(t time.Time, form string) template.HTML {
	if t.IsZero() {
		return `<span class="none">never</span>`
	}
	t = t.UTC()
	written := t.Format("2006-01-02 15:04:05 UTC")
	attribute := ""
	if form != "" {
		attribute = ` data-form="` + form + `"`
	}
	return template.HTML(`<time datetime="` + t.Format("2006-01-02T15:04:05.000Z") + `" title="` + written + `"` + attribute + `>` + written + `</time>`)
}

// counted is how many deliveries of an endpoint there are.
func counted(n int64) string {
	if n >= webhooks.CountUpTo {
		return number(n) + "+"
	}
	return number(n)
}

// number writes one with thin spaces between the thousands.
func number(n any) string {
	var v float64
	switch n := n.(type) {
	case int:
		v = float64(n)
	case int64:
		v = float64(n)
	case float64:
		v = n
	}
	digits := strconv.FormatInt(int64(math.Round(v)), 10)
	var b strings.Builder
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteRune('\u202f')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// online says of a door whether it is connected, as far as that is known.
func online(connected *bool) string {
	switch {
	case connected == nil:
		return "not known"
	case *connected:
		return "online"
	}
	return "offline"
}

// short is the beginning of an id, for lists; its title holds the whole.
func short(id string) string {
	if len(id) > 13 {
		return id[:13] + "…"
	}
	return id
}

// dict lets a template hand several values on.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict wants names with values, got %d", len(pairs))
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict wants a name, got %v", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}
