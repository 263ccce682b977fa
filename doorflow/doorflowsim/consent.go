package doorflowsim

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

// consentData fills the consent page, or with only Problem set the page that refuses.
type consentData struct {
	Problem, Client string
	Scopes          []string
	Accounts        []choice
	Hidden          []hiddenField
}

type choice struct {
	ID, Name string
	Checked  bool
}

type hiddenField struct{ Name, Value string }

func (s *Sim) showConsent(w http.ResponseWriter, p url.Values) {
	d := consentData{Client: s.o.AppName, Scopes: strings.Fields(p.Get("scope"))}
	s.mu.Lock()
	for _, id := range []string{AccountA, AccountB} {
		d.Accounts = append(d.Accounts, choice{ID: id, Name: s.accounts[id].name, Checked: id == AccountA})
	}
	s.mu.Unlock()
	for _, name := range []string{
		"response_type", "client_id", "redirect_uri", "scope", "state",
		"code_challenge", "code_challenge_method",
	} {
		if p.Has(name) {
			d.Hidden = append(d.Hidden, hiddenField{name, p.Get(name)})
		}
	}
	s.page(w, http.StatusOK, d)
}

// refuse is for requests that must not be answered by a redirect: their address cannot be trusted.
func (s *Sim) refuse(w http.ResponseWriter, problem string) {
	s.page(w, http.StatusBadRequest, consentData{Problem: problem})
}

func (s *Sim) page(w http.ResponseWriter, status int, d consentData) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Frame-Options", "DENY")
	// No form-action: browsers apply it to the redirect that follows the form, which leaves this origin.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.WriteHeader(status)
	if err := s.consent.Execute(w, d); err != nil {
		s.o.Log.Warn("writing the consent page", "err", err)
	}
}

func consentPage() *template.Template {
	return template.Must(template.New("consent").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{if .Problem}}Request refused{{else}}Connect {{.Client}}{{end}} - DoorFlow stand-in</title>
<style>
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
fieldset { border: 1px solid #767676; margin: 1.5rem 0; padding: 1rem }
label { display: block; padding: .4rem 0 }
button { font: inherit; padding: .6rem 1.6rem; margin-right: 1rem; border: 2px solid #1a4f8b; color: #1a4f8b; background: #fff }
button[value=allow] { color: #fff; background: #1a4f8b }
small { color: #555 }
</style>
</head>
<body>
<main>
{{if .Problem}}<h1>Request refused</h1>
<p>{{.Problem}}</p>
{{else}}<h1>Connect {{.Client}}?</h1>
<p>The application <strong>{{.Client}}</strong> asks for access to an account.</p>
<form method="post" action="/oauth/authorize">
{{range .Hidden}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<fieldset>
<legend>Account</legend>
{{range .Accounts}}<label><input type="radio" name="account" value="{{.ID}}"{{if .Checked}} checked{{end}}> {{.Name}}</label>
{{end}}</fieldset>
<h2>It will be able to use</h2>
<ul>
{{range .Scopes}}<li><code>{{.}}</code></li>
{{end}}</ul>
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Deny</button>
</form>
{{end}}<p><small>This is a simulation with invented data, not DoorFlow.</small></p>
</main>
</body>
</html>
`))
}
