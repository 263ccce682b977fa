package doordeck_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck"
)

func TestErrorIsReadLeniently(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct {
		name          string
		status        int
		after, body   string
		code, message string
		wait          time.Duration
		text          string
	}{
		{"documented", 401, "", `{"code":401,"message":"HTTP 401 Unauthorized"}`, "401", "HTTP 401 Unauthorized", 0, "Doordeck answered 401: HTTP 401 Unauthorized"},
		{"a sub-code", 404, "", `{"code":404.12,"message":"No devices associated with this tile"}`, "404.12", "No devices associated with this tile", 0, "Doordeck answered 404.12: No devices associated with this tile"},
		{"a sub-code that ends in zero", 404, "", `{"code":404.10}`, "404.10", "", 0, "Doordeck answered 404.10"},
		{"a code as a text", 403, "", `{"code":"403.1","message":null}`, "403.1", "", 0, "Doordeck answered 403.1"},
		{"a code that is none", 400, "", `{"code":"eyJhbGciOiJ","message":"odd"}`, "", "odd", 0, "Doordeck answered 400: odd"},
		{"a code of another size", 400, "", `{"code":1e99}`, "", "", 0, "Doordeck answered 400"},
		{"a message that is an object", 400, "", `{"code":400,"message":{"x":1}}`, "400", "", 0, "Doordeck answered 400"},
		{"plain text", 503, "", "device\r\n\toffline \x00\x1b[31m", "", "device offline [31m", 0, "Doordeck answered 503: device offline [31m"},
		{"HTML", 502, "", " <html><h1>Bad Gateway</h1>", "", "", 0, "Doordeck answered 502"},
		{"nothing", 500, "", "", "", "", 0, "Doordeck answered 500"},
		{"a list", 500, "", `["x"]`, "", `["x"]`, 0, ""},
		{"a long message", 400, "", `{"message":"` + strings.Repeat("é ", 300) + `"}`, "", strings.Repeat("é ", 99) + "é…", 0, ""},
		{"what may be a key", 400, "", "bad key MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=!", "", "bad key REDACTED!", 0, ""},
		{"ids stay", 404, "", "no lock " + string(lock), "", "no lock " + string(lock), 0, ""},
		{"invalid UTF-8", 400, "", "a\xffb", "", "ab", 0, ""},
		{"seconds", 429, "30", "", "", "", 30 * time.Second, ""},
		{"a fraction", 429, "1.5", "", "", "", 1500 * time.Millisecond, ""},
		{"too long", 429, "1e300", "", "", "", day, ""},
		{"no number", 429, "NaN", "", "", "", 0, ""},
		{"negative", 429, "-1", "", "", "", 0, ""},
		{"a date gone by", 429, "Thu, 01 Jan 2026 00:00:00 GMT", "", "", "", 0, ""},
		{"a date of another age", 429, "Fri, 31 Dec 9999 23:59:59 GMT", "", "", "", day, ""},
		{"words", 429, "soon", "", "", "", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := doordeck.NewError(tt.status, http.Header{"Retry-After": {tt.after}}, []byte(tt.body), false)
			if e.Status != tt.status || e.Code != tt.code || e.Message != tt.message || e.RetryAfter != tt.wait {
				t.Fatalf("%+v", *e)
			}
			if tt.text != "" && e.Error() != tt.text {
				t.Fatalf("text %q", e)
			}
		})
	}
}

func TestErrorClasses(t *testing.T) {
	retry := map[doordeck.Class]bool{doordeck.TooMany: true, doordeck.Offline: true, doordeck.NoAnswer: true, doordeck.Transient: true}
	for status, want := range map[int]doordeck.Class{
		301: doordeck.Invalid, 400: doordeck.Invalid, 401: doordeck.Unauthorized, 403: doordeck.Forbidden, 404: doordeck.NotFound,
		405: doordeck.Invalid, 406: doordeck.Invalid, 408: doordeck.Transient, 409: doordeck.Conflict, 410: doordeck.NotFound,
		422: doordeck.Invalid, 423: doordeck.Locked, 425: doordeck.Transient, 429: doordeck.TooMany,
		500: doordeck.Transient, 503: doordeck.Transient, 504: doordeck.Transient, 599: doordeck.Transient,
	} {
		e := doordeck.NewError(status, nil, nil, false)
		if e.Class != want || e.Class.Retryable() != retry[want] {
			t.Errorf("%d is %s, retryable %t", status, e.Class, e.Class.Retryable())
		}
	}
	// Only where a door answers do these speak of it.
	for status, want := range map[int]doordeck.Class{503: doordeck.Offline, 504: doordeck.NoAnswer} {
		if e := doordeck.NewError(status, nil, nil, true); e.Class != want || !e.Class.Retryable() {
			t.Errorf("%d of a door is %s", status, e.Class)
		}
	}
}

func TestErrorRepeatsNoSecret(t *testing.T) {
	const secret = "abcdefghijklmnop-qrstuvwxyz+01234=" // shorter than what is redacted anyway
	for _, echo := range []string{
		secret, secret[:16], "…" + secret[8:25], "abcdefg hijklm\nnopqrstuvwxyz+01234", secret[16:32] + "\u200b" + secret[32:],
	} {
		for _, body := range []string{"no: " + echo, `{"message":"no: ` + strings.ReplaceAll(echo, "\n", `\n`) + `"}`} {
			if e := doordeck.NewError(400, nil, []byte(body), false, secret); e.Message != "" || e.Error() != "Doordeck answered 400" {
				t.Errorf("%q gives %q", body, e)
			}
		}
	}
	if e := doordeck.NewError(403, nil, []byte("code 123-456 is wrong"), false, "123456"); e.Message != "" {
		t.Errorf("the code is in %q", e)
	}
	if e := doordeck.NewError(400, nil, []byte("no"), false, secret, ""); e.Message != "no" {
		t.Errorf("an honest message is gone: %q", e)
	}
}
