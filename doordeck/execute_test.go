package doordeck_test

import (
	"testing"

	"gatehouse/doordeck"
)

func TestExecute(t *testing.T) {
	for status, want := range map[int]doordeck.Outcome{
		200: doordeck.Applied, 201: doordeck.Applied, 202: doordeck.Queued, 204: doordeck.Applied,
	} {
		signed, err := signer(t).Sign(lock, doordeck.Unlock{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		body := `{}`
		if status == 204 {
			body = ``
		}
		client, got := answering(t, status, body)
		outcome, err := client.Execute(t.Context(), bearer(), lock, signed.JWT)
		if err != nil || outcome != want {
			t.Errorf("%d means %q, %v", status, outcome, err)
		}
		expect(t, *got, "POST", "/device/"+string(lock)+"/execute", v1, "application/jwt", signed.JWT.Reveal())
	}
}

func TestExecuteFailures(t *testing.T) {
	signed, err := signer(t).Sign(lock, doordeck.Unlock{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]doordeck.Class{
		400: doordeck.Invalid, 401: doordeck.Unauthorized, 403: doordeck.Forbidden, 404: doordeck.NotFound,
		409: doordeck.Conflict, 415: doordeck.Invalid, 422: doordeck.Invalid, 429: doordeck.TooMany,
		500: doordeck.Transient, 502: doordeck.Transient, 503: doordeck.Offline, 504: doordeck.NoAnswer, 302: doordeck.Invalid,
	} {
		client, got := answering(t, status, ``)
		outcome, err := client.Execute(t.Context(), bearer(), lock, signed.JWT)
		if !isClass(err, want) || outcome != "" || len(*got) != 1 {
			t.Errorf("%d gives %q, %v after %d requests", status, outcome, err, len(*got))
		}
	}
	client, got := answering(t, 200, ``)
	if _, err := client.Execute(t.Context(), bearer(), lock, doordeck.JWT{}); err == nil || len(*got) != 0 {
		t.Errorf("executed nothing: %v", err)
	}
}
