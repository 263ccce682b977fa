package doordeck_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse/doordeck"
)

const keyBody = `{"ephemeralKey":"MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="}`

// chainAnswer is the service's answer for a chain.
func chainAnswer(t *testing.T, user string, entries ...string) string {
	t.Helper()
	list, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	return `{"certificateChain":` + string(list) + `,"userId":"` + user + `"}`
}

func TestRegister(t *testing.T) {
	entries := []string{vector(t, "v2-leaf.txt"), vector(t, "v2-ca.txt")}
	client, got := answering(t, 200, chainAnswer(t, string(admin), entries...))
	r, err := client.Register(t.Context(), bearer(), ephemeral(t))
	if err != nil || r.UserID != admin || !slices.Equal(r.Chain.Entries(), entries) {
		t.Fatalf("%+v, %v", r, err)
	}
	expect(t, *got, "POST", "/auth/certificate", "application/json", "application/json", keyBody)
}

func TestCheck(t *testing.T) {
	client, got := answering(t, 200, chainAnswer(t, string(admin), vector(t, "v2-leaf.txt"), vector(t, "v2-ca.txt")))
	r, err := client.Check(t.Context(), bearer(), ephemeral(t), " 123-456\n")
	if err != nil || r.UserID != admin || !r.Chain.For(ephemeral(t)) {
		t.Fatalf("%+v, %v", r, err)
	}
	expect(t, *got, "POST", "/auth/certificate/check", "application/json", "application/json",
		`{"verificationSignature":"vLMoMW6wRfoft+ua1HGAnlKBFawyqryzpaVUIy3Yh5aLrtAcfC4k/KkUC2kRV2Cr3pMVQXJrCUqLhWAeDZDXAA=="}`)
}

func TestRegistrationAnswersAreChecked(t *testing.T) {
	leaf, ca := vector(t, "v2-leaf.txt"), vector(t, "v2-ca.txt")
	for name, body := range map[string]string{
		"empty":             ``,
		"an empty object":   `{}`,
		"not JSON":          `<html>`,
		"no chain":          `{"userId":"` + string(admin) + `"}`,
		"no user":           chainAnswer(t, "", leaf, ca),
		"subject as user":   chainAnswer(t, "admin-1", leaf, ca),
		"another key's":     chainAnswer(t, string(admin), ca, leaf),
		"chain of numbers":  `{"certificateChain":[1,2],"userId":"` + string(admin) + `"}`,
		"more than a chain": chainAnswer(t, string(admin), slices.Repeat([]string{leaf}, 11)...),
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := answering(t, 200, body)
			r, err := client.Register(t.Context(), bearer(), ephemeral(t))
			e, ok := errors.AsType[*doordeck.Error](err)
			if !ok || e.Class != doordeck.Transient || e.Status != 200 || e.Message == "" || r.UserID != "" {
				t.Fatalf("%+v, %v", r, err)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method doordeck.Method
		uri    string
		status int
		body   string
		want   doordeck.Method
	}{
		{"told", doordeck.Email, "?method=EMAIL", 200, `{"method":"EMAIL"}`, doordeck.Email},
		{"nothing told", doordeck.SMS, "?method=SMS", 204, ``, doordeck.SMS},
		{"left to Doordeck", "", "", 200, `{"method":"SMS"}`, doordeck.SMS},
		{"left to Doordeck, who keeps it", "", "", 204, ``, ""},
		{"a method of old", doordeck.Telephone, "?method=TELEPHONE", 200, `{"method":"WHATSAPP"}`, "WHATSAPP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, got := answering(t, tt.status, tt.body)
			method, err := client.Verify(t.Context(), bearer(), ephemeral(t), tt.method)
			if err != nil || method != tt.want {
				t.Fatalf("%q, %v", method, err)
			}
			expect(t, *got, "POST", "/auth/certificate/verify"+tt.uri, "application/json", "application/json", keyBody)
		})
	}
}

func TestRegisteringNeedsWhatItNeeds(t *testing.T) {
	client, got := answering(t, 200, `{}`)
	for name, call := range map[string]func() error{
		"register no key": func() error { _, err := client.Register(t.Context(), bearer(), doordeck.EphemeralKey{}); return err },
		"verify no key": func() error {
			_, err := client.Verify(t.Context(), bearer(), doordeck.EphemeralKey{}, "")
			return err
		},
		"a method that is not offered": func() error { _, err := client.Verify(t.Context(), bearer(), ephemeral(t), "WHATSAPP"); return err },
		"no code":                      func() error { _, err := client.Check(t.Context(), bearer(), ephemeral(t), " "); return err },
	} {
		if err := call(); err == nil || strings.Contains(err.Error(), "Doordeck answered") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(*got) != 0 {
		t.Errorf("asked %q", *got)
	}
}
