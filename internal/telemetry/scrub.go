package telemetry

import "strings"

// Scrub cuts the query, the fragment and the user information out of every URL in a text, whole or
// relative: "GET https://host/path?code=x: refused" becomes "GET https://host/path: refused". A question
// mark that ends a sentence stays.
func Scrub(s string) string {
	if strings.Contains(s, "://") {
		s = cutUserinfo(s)
	}
	from := 0
	for {
		at := strings.IndexAny(s[from:], "?#")
		if at < 0 {
			return s
		}
		at += from
		end := at + 1
		for end < len(s) && (!endsURL(s[end]) || s[end-1] == '\\') {
			end++ // an escaped quote stood in the query itself
		}
		if !strings.Contains(s[at:end], "=") {
			from = end
			continue
		}
		// A colon or full stop at the end belongs to the sentence around the URL.
		if c := s[end-1]; end < len(s) && (c == ':' || c == '.' || c == ',') {
			end--
		}
		s = s[:at] + s[end:]
		from = at
	}
}

func endsURL(c byte) bool {
	return c <= ' ' || c == '"' || c == '`' || c == '<' || c == '>'
}

// cutUserinfo removes what stands before an @ in the authority of each URL.
func cutUserinfo(s string) string {
	from := 0
	for {
		at := strings.Index(s[from:], "://")
		if at < 0 {
			return s
		}
		start := from + at + len("://")
		end := start
		for end < len(s) && !endsURL(s[end]) && s[end] != '/' && s[end] != '?' && s[end] != '#' {
			end++
		}
		if user := strings.LastIndexByte(s[start:end], '@'); user >= 0 {
			s = s[:start] + s[start+user+1:]
		}
		from = start
	}
}
