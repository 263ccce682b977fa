package doordeck

import (
	"regexp"
	"strings"
	"unicode"
)

const (
	// maxMessage bounds what is kept of Doordeck's words, in characters; maxWords what is looked at, in bytes.
	maxMessage = 200
	maxWords   = 4096
	// leastEcho is how much of a secret makes an echo of it.
	leastEcho = 16
)

// longWord is one that may be a token, a key or a certificate. UUIDs are shorter.
var longWord = regexp.MustCompile(`[A-Za-z0-9+/=_.~%-]{40,}`)

// clean makes one short line of what a stranger said. A text that repeats one of the request's secrets comes
// back empty: what was done to the rest of it, nobody knows. So does a page of HTML, which says nothing.
func clean(s string, secrets []string) string {
	s = s[:min(len(s), maxWords)]
	if strings.HasPrefix(strings.TrimSpace(s), "<") || echoes(s, secrets) {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	s = longWord.ReplaceAllString(s, redacted)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxMessage {
		return string(runes[:maxMessage-1]) + "…"
	}
	return s
}

// echoes tells whether a text repeats a secret, or a good part of one.
func echoes(s string, secrets []string) bool {
	s = unspaced(s)
	for _, secret := range secrets {
		secret = unspaced(secret)
		part := min(leastEcho, len(secret))
		for i := 0; part > 0 && i+part <= len(secret); i++ {
			if strings.Contains(s, secret[i:i+part]) {
				return true
			}
		}
	}
	return false
}

// unspaced drops what people and programs put between the characters of a code: spaces, dashes, and signs
// that cannot be seen.
func unspaced(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.In(r, unicode.Pd, unicode.Cf, unicode.Cc) || r == '−' {
			return -1
		}
		return r
	}, s)
}
