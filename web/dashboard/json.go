package dashboard

import (
	"bytes"
	"encoding/json"
	"html/template"
	"strings"
)

// colour is JSON with line breaks, its parts marked for the stylesheet. What is no JSON is shown as it is.
func colour(body []byte) template.HTML {
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") != nil {
		return template.HTML(template.HTMLEscapeString(string(body)))
	}
	text := pretty.String()
	var b strings.Builder
	for i := 0; i < len(text); {
		n, class := token(text[i:])
		escaped := template.HTMLEscapeString(text[i : i+n])
		if class == "" {
			b.WriteString(escaped)
		} else {
			b.WriteString(`<span class="` + class + `">` + escaped + `</span>`)
		}
		i += n
	}
	return template.HTML(b.String())
}

// token is how long the next part of valid JSON is, and what it is.
func token(s string) (n int, class string) {
	switch c := s[0]; {
	case c == '"':
		for n = 1; s[n] != '"'; n++ {
			if s[n] == '\\' {
				n++
			}
		}
		n++
		if strings.HasPrefix(s[n:], ":") {
			return n, "j-name"
		}
		return n, "j-text"
	case c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z':
		n = len(s) - len(strings.TrimLeft(s, "-+.0123456789abcdefghijklmnopqrstuvwxyzE"))
		return n, "j-value"
	}
	if n = strings.IndexAny(s, `"-0123456789abcdefghijklmnopqrstuvwxyz`); n <= 0 {
		n = len(s)
	}
	return n, ""
}
