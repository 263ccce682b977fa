package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// flags set a gateway in this process up like g.
func (g *gateway) flags(dir string) map[string]string {
	flags := map[string]string{
		"addr": "127.0.0.1:0", "ops-addr": "", "nats-listen": "", "data-dir": dir, "admin-token": adminToken, "doorflow-client-id": clientID,
		"doorflow-client-secret": clientSecret, "doorflow-api-url": g.env["GATEHOUSE_DOORFLOW_API_URL"],
	}
	for _, name := range []string{"api-url", "issuer", "key-id", "signing-key-file"} {
		if value := g.env["GATEHOUSE_DOORDECK_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))]; value != "" {
			flags["doordeck-"+name] = value
		}
	}
	return flags
}

// settle connects a tenant's account, and leaves an open and a pending link behind.
func (g *gateway) settle(tn *tenant, returnURL string) {
	g.t.Helper()
	type link struct{ ID, URL string }
	make := func(body string) (l link) {
		g.t.Helper()
		made := g.call(http.MethodPost, "/v1/connect-links", body)
		if made.status != http.StatusCreated {
			g.t.Fatal(made.status, string(made.body))
		}
		made.json(g.t, &l)
		return l
	}
	answer := url.Values{"decision": {"allow"}, "account": {tn.account}}
	if p := walkWith(g.t, make(`{"account":"`+tn.account+`"}`).URL, answer); p.status != http.StatusOK {
		g.t.Fatal(p.status)
	}
	pending := make(`{"account":"` + tn.account + `","return_url":"` + returnURL + `/back"}`)
	tn.pending, tn.code = pending.ID, walkWith(g.t, pending.URL, answer).at.Query().Get("code")
	tn.open = make(`{"account":"` + tn.account + `"}`).ID
}

// endow makes an endpoint with a key of a tenant's.
func (g *gateway) endow(tn *tenant) {
	g.t.Helper()
	key := g.key(map[string]any{"scopes": []string{"endpoints:write"}, "accounts": []string{tn.account}, "identities": []string{tn.identity}})
	var made struct{ ID string }
	g.callWith(key, http.MethodPost, "/v1/endpoints", `{"url":"https://bms.example.com/`+tn.identity+`","subjects":[">"]}`).json(g.t, &made)
	tn.endpoint = made.ID
}

// awaitDelivery waits for a delivery to the endpoint that a tenant was endowed with.
func (g *gateway) awaitDelivery(tn *tenant) {
	g.t.Helper()
	eventually(g.t, 30*time.Second, func() string {
		var page struct{ Items []struct{ ID string } }
		if g.call(http.MethodGet, "/v1/endpoints/"+tn.endpoint+"/deliveries", "").json(g.t, &page); len(page.Items) == 0 {
			return "nothing is delivered to " + tn.endpoint
		}
		tn.delivery = page.Items[0].ID
		return ""
	})
}

// bookmark is where the stream stands now.
func (g *gateway) bookmark() string {
	g.t.Helper()
	id := ""
	g.listen(adminToken, "", func(field, value string) bool {
		id = value
		return field != "id"
	})
	return id
}

// listen hands each line of the stream to next until that returns false or the stream ends.
func (g *gateway) listen(key, after string, next func(field, value string) bool) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/v1/messages/stream", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := probe.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		g.t.Fatalf("the stream was answered %d", resp.StatusCode)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		if !next(field, value) {
			return
		}
	}
	if err := lines.Err(); err != nil {
		g.t.Fatal(err)
	}
}

// learn reads as an administrator what there is of a tenant.
func (g *gateway) learn(tn *tenant) {
	g.t.Helper()
	var page struct {
		Items []struct{ ID string }
		Next  string
	}
	g.call(http.MethodGet, "/v1/messages?limit=500&account="+tn.account, "").json(g.t, &page)
	for _, m := range page.Items {
		tn.messages = append(tn.messages, m.ID)
	}
	if len(tn.messages) < 7 { // two of the identity, the connection, two notifications with their events
		g.t.Fatalf("only %d messages of %s", len(tn.messages), tn.account)
	}
	g.call(http.MethodGet, "/v1/messages?limit=1&account="+tn.account, "").json(g.t, &page)
	tn.messagesCursor = page.Next
	g.call(http.MethodGet, "/v1/connections?limit=1", "").json(g.t, &page)
	tn.connectionsCursor = page.Next
	api := "/v1/connections/" + tn.account + "/doorflow/api/3/"
	for path, into := range map[string]*string{"people": &tn.person, "channels": &tn.channel} {
		var found []struct{ ID json.Number }
		a := g.call(http.MethodGet, api+path, "")
		if a.json(g.t, &found); len(found) == 0 {
			g.t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		*into = found[0].ID.String()
	}
	if tn.messagesCursor == "" || tn.connectionsCursor == "" || tn.code == "" {
		g.t.Fatal("something of a tenant is missing")
	}
}

// key makes a key and returns it.
func (g *gateway) key(request map[string]any) string {
	g.t.Helper()
	request["name"] = "of a test"
	body, err := json.Marshal(request)
	if err != nil {
		g.t.Fatal(err)
	}
	var made struct{ Key string }
	if a := g.call(http.MethodPost, "/v1/api-keys", string(body)); a.status != http.StatusCreated {
		g.t.Fatalf("making a key: %d %s", a.status, a.body)
	} else {
		a.json(g.t, &made)
	}
	return made.Key
}
