package doordeck_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"gatehouse/doordeck"
)

const (
	plantedCode     = "90817263"
	plantedIdentity = "eyJhbGciOiJSU0EtT0FFUCJ9.planted.identity.cGxhbnRlZA.x"
)

// planted are the secrets of all calls, in the forms in which they could come to light.
func planted(t *testing.T, signed doordeck.Signed) []string {
	t.Helper()
	signature, err := ephemeral(t).SignCode(plantedCode)
	if err != nil {
		t.Fatal(err)
	}
	jwt := signed.JWT.Reveal()
	return []string{
		token, token[:20], plantedCode, "9081-7263", signature, url.QueryEscape(signature), plantedIdentity, jwt, jwt[len(jwt)-40:],
		"Bearer", "gIGCg4SF", seedHex,
	}
}

// calls are all calls that carry a secret.
func calls(t *testing.T, client *doordeck.Client, signed doordeck.Signed) map[string]func(context.Context) error {
	t.Helper()
	key := ephemeral(t)
	return map[string]func(context.Context) error{
		"register": func(ctx context.Context) error { _, err := client.Register(ctx, bearer(), key); return err },
		"verify":   func(ctx context.Context) error { _, err := client.Verify(ctx, bearer(), key, doordeck.SMS); return err },
		"check":    func(ctx context.Context) error { _, err := client.Check(ctx, bearer(), key, plantedCode); return err },
		"find": func(ctx context.Context) error {
			_, err := client.Find(ctx, bearer(), doordeck.ByIdentity, plantedIdentity)
			return err
		},
		"find all": func(ctx context.Context) error {
			_, err := client.FindAll(ctx, bearer(), doordeck.ByForeignKey, []string{"x"})
			return err
		},
		"shareable": func(ctx context.Context) error { _, err := client.ShareableLocks(ctx, bearer()); return err },
		"lock":      func(ctx context.Context) error { _, err := client.Lock(ctx, bearer(), lock); return err },
		"users":     func(ctx context.Context) error { _, err := client.LockUsers(ctx, bearer(), lock); return err },
		"user":      func(ctx context.Context) error { _, _, err := client.User(ctx, bearer(), invitee1); return err },
		"execute":   func(ctx context.Context) error { _, err := client.Execute(ctx, bearer(), lock, signed.JWT); return err },
	}
}

// A server, or whoever pretends to be one, sends back all it got in every way there is.
func TestErrorsHoldNoSecret(t *testing.T) {
	signed, err := signer(t).Sign(lock, doordeck.Unlock{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var server *httptest.Server
	raw := func(w http.ResponseWriter, text string) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, text)
	}
	for way, answer := range map[string]func(w http.ResponseWriter, echo string){
		"plain text": func(w http.ResponseWriter, echo string) { http.Error(w, echo, http.StatusBadRequest) },
		"JSON": func(w http.ResponseWriter, echo string) {
			w.WriteHeader(403)
			_ = json.NewEncoder(w).Encode(map[string]any{"code": echo, "message": echo})
		},
		"a door's failure": func(w http.ResponseWriter, echo string) { http.Error(w, echo, http.StatusServiceUnavailable) },
		"an odd success":   func(w http.ResponseWriter, echo string) { _, _ = io.WriteString(w, echo) },
		"a success's fields": func(w http.ResponseWriter, echo string) {
			_ = json.NewEncoder(w).Encode(map[string]any{"id": echo, "userId": echo, "certificateChain": []string{echo}, "start": echo, "method": echo})
		},
		"a list": func(w http.ResponseWriter, echo string) {
			_ = json.NewEncoder(w).Encode([]any{map[string]any{"id": echo, "start": echo}})
		},
		"a redirect": func(w http.ResponseWriter, echo string) {
			w.Header().Set("Location", server.URL+"/?"+url.QueryEscape(echo))
			w.WriteHeader(307)
		},
		"an odd redirect": func(w http.ResponseWriter, echo string) {
			w.Header().Set("Location", "http://%zz"+url.QueryEscape(echo))
			w.WriteHeader(307)
		},
		"a status line":       func(w http.ResponseWriter, echo string) { raw(w, "HTTP/1.1 "+oneLine(echo)+"\r\n\r\n") },
		"a short status line": func(w http.ResponseWriter, _ string) { raw(w, "HTTP/1.1 "+token[:20]+"\r\n\r\n") },
		"no HTTP":             func(w http.ResponseWriter, echo string) { raw(w, oneLine(echo)+"\r\n\r\n") },
		"an odd header":       func(w http.ResponseWriter, echo string) { raw(w, "HTTP/1.1 200 OK\r\n"+oneLine(echo)+"\r\n\r\n") },
		"an odd length": func(w http.ResponseWriter, echo string) {
			raw(w, "HTTP/1.1 200 OK\r\nContent-Length: "+oneLine(echo)+"\r\n\r\n")
		},
		"an odd encoding": func(w http.ResponseWriter, echo string) {
			raw(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: "+oneLine(echo)+"\r\n\r\n")
		},
		"hanging up": func(http.ResponseWriter, string) { panic(http.ErrAbortHandler) },
		"half a body": func(w http.ResponseWriter, _ string) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(way, func(t *testing.T) {
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				answer(w, "the code "+plantedCode+" and "+r.Header.Get("Authorization")+" came with "+string(body)+" to http://"+r.Host+r.URL.String())
			}))
			defer server.Close()
			client, err := doordeck.NewClient(doordeck.Config{URL: server.URL, Transport: server.Client().Transport})
			if err != nil {
				t.Fatal(err)
			}
			failed := 0
			for name, call := range calls(t, client, signed) {
				err := call(t.Context())
				if err == nil {
					continue // there are answers in which nothing is looked for
				}
				failed++
				if _, ok := errors.AsType[*doordeck.Error](err); !ok {
					t.Errorf("%s: %T", name, err)
				}
				for e := err; e != nil; e = errors.Unwrap(e) {
					shows(t, name, e, signed)
					if strings.Contains(e.Error(), "http://") {
						t.Errorf("%s shows the URL: %q", name, e)
					}
				}
			}
			if failed == 0 {
				t.Error("nothing failed")
			}
		})
	}
}

// Doordeck knows the code, so its words may hold it.
func TestCheckErrorsHoldNoCode(t *testing.T) {
	for _, body := range []string{"code " + plantedCode + " is wrong", `{"code":403,"message":"9081-7263?"}`} {
		client, _ := answering(t, 403, body)
		_, err := client.Check(t.Context(), bearer(), ephemeral(t), "9081 7263")
		if !isClass(err, doordeck.Forbidden) || err.Error() != "Doordeck answered 403" {
			t.Errorf("%v", err)
		}
	}
}

// shows looks for secrets in everything that could be printed of a value.
func shows(t *testing.T, name string, v any, signed doordeck.Signed) {
	t.Helper()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
	asJSON, _ := json.Marshal(v)
	asXML, _ := xml.Marshal(v)
	for _, text := range []string{
		fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%q", v), fmt.Sprintf("%x", v), fmt.Sprintf("%d", v),
		log.String(), string(asJSON), string(asXML),
	} {
		for _, secret := range planted(t, signed) {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %.20s… in %.300s", name, secret, text)
			}
		}
	}
}

func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

func TestSecretsPrintAsRedacted(t *testing.T) {
	signed, err := signer(t).Sign(lock, doordeck.Unlock{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	app := issuer(t)
	secrets := map[string]any{"token": bearer(), "JWT": signed.JWT, "ephemeral key": ephemeral(t), "application key": app.Key}
	for name, v := range secrets {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
			if got := fmt.Sprintf(verb, v); got != "REDACTED" {
				t.Errorf("%s prints as %q with %s", name, got, verb)
			}
		}
		if got := v.(fmt.Stringer).String(); got != "REDACTED" {
			t.Errorf("%s is the text %q", name, got)
		}
		if got := v.(slog.LogValuer).LogValue().String(); got != "REDACTED" {
			t.Errorf("%s is logged as %q", name, got)
		}
		if got, err := json.Marshal(v); err != nil || string(got) != `"REDACTED"` {
			t.Errorf("%s marshals as %s, %v", name, got, err)
		}
		shows(t, name, v, signed)
		shows(t, name, &v, signed)
		// In an unexported field fmt asks no methods.
		shows(t, name, struct{ inner any }{v}, signed)
	}
	shows(t, "unexported fields", struct {
		token doordeck.Token
		jwt   doordeck.JWT
		key   doordeck.EphemeralKey
		app   doordeck.ApplicationKey
	}{bearer(), signed.JWT, ephemeral(t), app.Key}, signed)
	shows(t, "signer", signer(t), signed)
	shows(t, "issuer", app, signed)
	shows(t, "signed", signed, signed)
	bytesOf := strings.Trim(fmt.Sprint(ephemeral(t).Reveal()[:8]), "[]")
	for _, verb := range []string{"%v", "%+v", "%d"} {
		for _, v := range []any{signer(t), struct{ k doordeck.EphemeralKey }{ephemeral(t)}} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, bytesOf) {
				t.Errorf("the seed's bytes are in %s", got)
			}
		}
	}
}

func TestSecretsAreThemselves(t *testing.T) {
	if bearer().Reveal() != token || bearer() != doordeck.NewToken(token) || bearer() == doordeck.NewToken("x") {
		t.Error("a token is not what it was made of")
	}
	if (doordeck.Token{}).Reveal() != "" || doordeck.NewToken("") != (doordeck.Token{}) || (doordeck.JWT{}).Reveal() != "" {
		t.Error("no token is one")
	}
}
