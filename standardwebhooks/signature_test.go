package standardwebhooks_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	oracle "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"gatehouse/standardwebhooks"
)

// The vector that the specification's own libraries are tested with, in all of their languages. The example in the
// specification's text comes without its secret.
const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorBody      = `{"test": 2432232314}`
	vectorTimestamp = 1614265330
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	// A signature of another version, from the specification's example.
	otherVersion = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

func parse(t *testing.T, s string) standardwebhooks.Secret {
	t.Helper()
	secret, err := standardwebhooks.ParseSecret(s)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestSignGivesTheVector(t *testing.T) {
	header := http.Header{}
	if err := standardwebhooks.Sign(header, vectorID, time.Unix(vectorTimestamp, 999), []byte(vectorBody), parse(t, vectorSecret)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"webhook-id": vectorID, "webhook-timestamp": "1614265330", "webhook-signature": vectorSignature} {
		if got := header.Values(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestVerify(t *testing.T) {
	secret, other := parse(t, vectorSecret), standardwebhooks.NewSecret()
	type webhook struct {
		header  http.Header
		body    string
		now     time.Time
		secrets []standardwebhooks.Secret
	}
	set := func(name, value string) func(*webhook) {
		return func(w *webhook) { w.header.Set(name, value) }
	}
	after := func(d time.Duration) func(*webhook) {
		return func(w *webhook) { w.now = w.now.Add(d) }
	}
	for _, test := range []struct {
		name   string
		change func(*webhook)
		want   error
	}{
		{"as sent", func(*webhook) {}, nil},
		{"the last second of the tolerance", after(5*time.Minute + 999*time.Millisecond), nil},
		{"a second later", after(5*time.Minute + time.Second), standardwebhooks.ErrStale},
		{"the first second of the tolerance", after(-5 * time.Minute), nil},
		{"a moment earlier", after(-5*time.Minute - time.Millisecond), standardwebhooks.ErrStale},
		{"a second signature", set("webhook-signature", "v1,AAAA "+vectorSignature), nil},
		{"another version before it", set("webhook-signature", otherVersion+" "+vectorSignature), nil},
		{"another version alone", set("webhook-signature", otherVersion), standardwebhooks.ErrSignature},
		{"the version of another algorithm", set("webhook-signature", strings.Replace(vectorSignature, "v1,", "v1a,", 1)), standardwebhooks.ErrSignature},
		{"no version", set("webhook-signature", strings.TrimPrefix(vectorSignature, "v1,")), standardwebhooks.ErrSignature},
		{"separated by commas", set("webhook-signature", "v1,AAAA,"+vectorSignature), standardwebhooks.ErrSignature},
		{"without padding", set("webhook-signature", strings.TrimSuffix(vectorSignature, "=")), standardwebhooks.ErrSignature},
		{"another spelling of the same bytes", set("webhook-signature", strings.Replace(vectorSignature, "OE=", "OF=", 1)), standardwebhooks.ErrSignature},
		{"with something behind it", set("webhook-signature", vectorSignature+"x"), standardwebhooks.ErrSignature},
		{"an empty signature", set("webhook-signature", "v1,"), standardwebhooks.ErrSignature},
		{"another body", func(w *webhook) { w.body += " " }, standardwebhooks.ErrSignature},
		{"no body", func(w *webhook) { w.body = "" }, standardwebhooks.ErrSignature},
		{"another id", set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJel"), standardwebhooks.ErrSignature},
		{"another time", set("webhook-timestamp", "1614265331"), standardwebhooks.ErrSignature},
		{"the time in another spelling", set("webhook-timestamp", "01614265330"), standardwebhooks.ErrSignature},
		{"stale and wrong is wrong", func(w *webhook) { w.body, w.now = "x", w.now.Add(time.Hour) }, standardwebhooks.ErrSignature},
		{"a signed time", set("webhook-timestamp", "+1614265330"), standardwebhooks.ErrHeaders},
		{"a fraction", set("webhook-timestamp", "1614265330.5"), standardwebhooks.ErrHeaders},
		{"milliseconds", set("webhook-timestamp", "1614265330000"), standardwebhooks.ErrHeaders},
		{"a word for a time", set("webhook-timestamp", "now"), standardwebhooks.ErrHeaders},
		{"an id with a full stop", set("webhook-id", "msg.1"), standardwebhooks.ErrHeaders},
		{"an id without end", set("webhook-id", strings.Repeat("a", 257)), standardwebhooks.ErrHeaders},
		{"no id", func(w *webhook) { w.header.Del("webhook-id") }, standardwebhooks.ErrHeaders},
		{"no time", func(w *webhook) { w.header.Del("webhook-timestamp") }, standardwebhooks.ErrHeaders},
		{"no signature", func(w *webhook) { w.header.Del("webhook-signature") }, standardwebhooks.ErrHeaders},
		{"two ids", func(w *webhook) { w.header.Add("webhook-id", vectorID) }, standardwebhooks.ErrHeaders},
		{"two signature headers", func(w *webhook) { w.header.Add("webhook-signature", vectorSignature) }, standardwebhooks.ErrHeaders},
		{"one of two secrets", func(w *webhook) { w.secrets = append(w.secrets, other) }, nil},
		{"the other way round", func(w *webhook) { w.secrets = append([]standardwebhooks.Secret{other}, w.secrets...) }, nil},
		{"another secret", func(w *webhook) { w.secrets = []standardwebhooks.Secret{other} }, standardwebhooks.ErrSignature},
		{"no secret", func(w *webhook) { w.secrets = nil }, standardwebhooks.ErrSecret},
		{"an empty secret beside a good one", func(w *webhook) { w.secrets = append(w.secrets, standardwebhooks.Secret{}) }, standardwebhooks.ErrSecret},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := webhook{
				header: http.Header{
					"Webhook-Id": {vectorID}, "Webhook-Timestamp": {strconv.Itoa(vectorTimestamp)}, "Webhook-Signature": {vectorSignature},
				}, body: vectorBody, now: time.Unix(vectorTimestamp, 0), secrets: []standardwebhooks.Secret{secret},
			}
			test.change(&w)
			id, err := standardwebhooks.Verify(w.header, []byte(w.body), w.now, standardwebhooks.Tolerance, w.secrets...)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if want := map[bool]string{true: vectorID}[err == nil]; id != want {
				t.Errorf("id = %q, want %q", id, want)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	secret, now := standardwebhooks.NewSecret(), time.Now()
	for _, test := range []struct {
		name, id string
		at       time.Time
		secrets  []standardwebhooks.Secret
		want     error
	}{
		{"no id", "", now, []standardwebhooks.Secret{secret}, standardwebhooks.ErrHeaders},
		{"a full stop", "a.b", now, []standardwebhooks.Secret{secret}, standardwebhooks.ErrHeaders},
		{"a line end", "a\r\nX: y", now, []standardwebhooks.Secret{secret}, standardwebhooks.ErrHeaders},
		{"a letter beyond ASCII", "ä", now, []standardwebhooks.Secret{secret}, standardwebhooks.ErrHeaders},
		{"too long", strings.Repeat("a", 257), now, []standardwebhooks.Secret{secret}, standardwebhooks.ErrHeaders},
		{"before 1970", "a", time.Unix(-1, 0), []standardwebhooks.Secret{secret}, standardwebhooks.ErrHeaders},
		{"no secret", "a", now, nil, standardwebhooks.ErrSecret},
		{"an empty secret", "a", now, []standardwebhooks.Secret{secret, {}}, standardwebhooks.ErrSecret},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := http.Header{}
			if err := standardwebhooks.Sign(header, test.id, test.at, nil, test.secrets...); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if len(header) > 0 {
				t.Errorf("it has set %v all the same", header)
			}
		})
	}
}

// The specification's Go library is the witness, in both directions. Its clock cannot be set.
func TestTheLibraryAgrees(t *testing.T) {
	current, old := standardwebhooks.NewSecret(), standardwebhooks.NewSecret()
	for _, body := range []string{"", vectorBody, "\x00\xff not text", strings.Repeat("a", 1<<20)} {
		header := http.Header{}
		if err := standardwebhooks.Sign(header, vectorID, time.Now(), []byte(body), current, old); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []standardwebhooks.Secret{current, old} {
			theirs, err := oracle.NewWebhook(secret.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			if err := theirs.Verify([]byte(body), header); err != nil {
				t.Errorf("the library refuses our signature: %v", err)
			}
			if err := theirs.Verify([]byte(body+"x"), header); err == nil {
				t.Error("the library takes another body")
			}
			signature, err := theirs.Sign(vectorID, time.Now(), []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			sent := http.Header{}
			sent.Set(standardwebhooks.IDHeader, vectorID)
			sent.Set(standardwebhooks.TimestampHeader, strconv.FormatInt(time.Now().Unix(), 10))
			sent.Set(standardwebhooks.SignatureHeader, signature)
			if _, err := standardwebhooks.Verify(sent, []byte(body), time.Now(), time.Minute, secret); err != nil {
				t.Errorf("we refuse the library's signature: %v", err)
			}
		}
		stranger, err := oracle.NewWebhook(standardwebhooks.NewSecret().Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if err := stranger.Verify([]byte(body), header); err == nil {
			t.Error("the library takes another secret")
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(vectorID, strconv.Itoa(vectorTimestamp), vectorSignature, vectorBody)
	f.Add("a", "1", "v1, v1a,", "")
	secret, err := standardwebhooks.ParseSecret(vectorSecret)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, timestamp, signature, body string) {
		header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		_, err := standardwebhooks.Verify(header, []byte(body), time.Unix(vectorTimestamp, 0), time.Minute, secret)
		theirs, bad := oracle.NewWebhook(vectorSecret)
		if bad != nil {
			t.Fatal(bad)
		}
		if err == nil && theirs.VerifyIgnoringTimestamp([]byte(body), header) != nil {
			t.Error("we take what the library refuses")
		}
		if _, bad := base64.StdEncoding.DecodeString(strings.TrimPrefix(signature, "v1,")); err == nil && bad != nil && !strings.Contains(signature, " ") {
			t.Error("a signature that is no base64 was taken")
		}
	})
}
