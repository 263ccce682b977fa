package telemetry

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

const redacted = "REDACTED"

// secretNames are attribute names whose values are never logged, in lower case with underscores.
var secretNames = map[string]bool{
	"authorization": true, "proxy_authorization": true, "cookie": true, "set_cookie": true,
	"token": true, "secret": true, "password": true, "passwd": true, "pin": true,
	"signature": true, "signatures": true, "webhook_signature": true,
	"credentials": true, "credentials_number": true, "api_key": true, "apikey": true, "x_api_key": true,
	"private_key": true, "signing_key": true, "encryption_key": true,
	"headers": true, "query": true, "form": true,
	"code_verifier": true, "verifier": true,
}

// ambiguousNames mean a secret in OAuth, and something to be read elsewhere: the code of an event, a
// status. Only their texts are redacted.
var ambiguousNames = map[string]bool{"code": true, "state": true}

func isSecretName(name string) bool {
	name = normal(name)
	return secretNames[name] || strings.HasSuffix(name, "_token") || strings.HasSuffix(name, "_tokens") ||
		strings.HasSuffix(name, "_secret") || strings.HasSuffix(name, "_secrets") ||
		strings.HasSuffix(name, "password") || strings.HasSuffix(name, "_pin")
}

// normal folds the case of ASCII and makes hyphens underscores; a name that is so already costs nothing.
func normal(name string) string {
	for i := range len(name) {
		if c := name[i]; c == '-' || (c >= 'A' && c <= 'Z') {
			return strings.ReplaceAll(strings.ToLower(name), "-", "_")
		}
	}
	return name
}

// clean returns the attribute without secrets, and whether that differs from what it was.
func (h *redactor) clean(a slog.Attr) (slog.Attr, bool) {
	kind := a.Value.Kind()
	if kind == slog.KindLogValuer {
		a.Value = a.Value.Resolve()
		a, _ = h.clean(a)
		return a, true
	}
	if h.secret || isSecretName(a.Key) || (ambiguousNames[normal(a.Key)] && isText(kind)) {
		return slog.String(a.Key, redacted), true
	}
	switch kind {
	case slog.KindString:
		s := a.Value.String()
		clean := Scrub(s)
		return slog.String(a.Key, clean), len(clean) != len(s)
	case slog.KindTime:
		return slog.Time(a.Key, a.Value.Time().UTC()), true
	case slog.KindGroup:
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(h.cleanAll(a.Value.Group())...)}, true
	case slog.KindAny:
		return cleanAny(a)
	default:
		return a, false
	}
}

func (h *redactor) cleanAll(attrs []slog.Attr) []slog.Attr {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i], _ = h.clean(a)
	}
	return clean
}

func isText(kind slog.Kind) bool {
	return kind == slog.KindString || kind == slog.KindAny
}

// cleanAny looks at the types that are known to carry URLs or headers.
func cleanAny(a slog.Attr) (slog.Attr, bool) {
	switch v := a.Value.Any().(type) {
	case error:
		return slog.String(a.Key, Scrub(v.Error())), true
	case *url.URL:
		if v == nil {
			return a, false
		}
		return slog.String(a.Key, Scrub(v.String())), true
	case url.URL:
		return slog.String(a.Key, Scrub(v.String())), true
	case http.Header, url.Values, *http.Request, *http.Response, *http.Cookie, []*http.Cookie:
		return slog.String(a.Key, redacted), true
	case []string:
		clean := make([]string, len(v))
		for i, s := range v {
			clean[i] = Scrub(s)
		}
		return slog.Any(a.Key, clean), true
	case []byte:
		return slog.String(a.Key, redacted), true
	default:
		return a, false
	}
}
