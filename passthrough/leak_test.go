package passthrough_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// planted must come out nowhere but in DoorFlow's own answer.
const planted = "PIN-90817263"

// A PIN that a program asks for comes back to it in clear, and is kept nowhere on the way; nor does anybody
// see a token or key that is not theirs.
func TestNothingLeaks(t *testing.T) {
	var status int
	df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "session="+planted)
		w.Header().Set("X-Debug", planted)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"value":"`+planted+`"}`)
	})
	g := newGateway(t, df.URL)
	var answers []answer
	body, query := `{"person_credential":{"value":"`+planted+`"}}`, "?value="+planted
	for _, status = range []int{201, 302, 401, 422, 500} {
		answers = append(answers, g.post("people/4821/credentials"+query, body), g.get("people/4821/credentials"+query))
	}
	refused := g.request(t.Context(), "POST", account, "people//"+query, strings.NewReader(body))
	answers = append(answers, g.do(refused), g.post("people?access_token="+planted, body))
	form := g.request(t.Context(), "POST", account, "people"+query, strings.NewReader(body))
	form.Header.Set("Content-Type", "text/"+planted)
	answers = append(answers, g.do(form))

	if a := answers[0]; a.body != `{"value":"`+planted+`"}` {
		t.Errorf("the caller got %q", a.body)
	}
	var heard, asked strings.Builder
	for _, a := range answers {
		fmt.Fprintln(&heard, a.status, a.header, strings.TrimSuffix(a.body, `{"value":"`+planted+`"}`))
	}
	for _, a := range df.all() {
		fmt.Fprintln(&asked, a.method, a.uri, a.body, a.header)
	}
	var metrics bytes.Buffer
	families, err := g.registry.Gather()
	must(t, err)
	fmt.Fprintln(&metrics, families)
	places := map[string]string{"the log": g.log.String(), "the audit log": strings.Join(g.audited(), "\n"), "the database": g.files(), "a metric": metrics.String()}
	for place, text := range map[string]string{"the log": "/v1/connections/:account/doorflow/api/3/*", "the audit log": "people/4821/credentials", "the database": "people/4821/credentials", "a metric": "gatehouse_http"} {
		if !strings.Contains(places[place], text) {
			t.Errorf("%s does not hold %q: it was not looked at", place, text)
		}
	}
	places["what a caller sees beside the body"] = heard.String()
	for place, text := range places {
		for _, secret := range []string{planted, "at_first", "at_new", "rt_first", "rt_new", key} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q", place, secret)
			}
		}
	}
	if !strings.Contains(asked.String(), "at_first-"+account) || strings.Contains(asked.String(), key) || strings.Contains(asked.String(), "rt_") {
		t.Error("DoorFlow was shown what it should not be, or nothing")
	}
}
