package dashboard

import (
	"bytes"
	"cmp"
	"encoding/json"
	"html/template"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/audit"
	"gatehouse/web"
	"gatehouse/wording"
)

// entryRow is an entry of the audit log as pages show it.
type entryRow struct {
	audit.Stored
	// Of is what it was done to in words, "" where the target says it best. Operation is the operation's id, "" for anything else.
	Of, Operation string
}

// entryRow names the door of what was asked of one, for those who may look at doors.
func (d *Dashboard) entryRow(c echo.Context, e audit.Stored) entryRow {
	row, target := entryRow{Stored: e}, strings.Fields(e.Target)
	caller, _ := web.CallerFrom(c.Request().Context())
	if strings.HasPrefix(e.Action, "operation.") && len(target) == 3 && d.Identities.Of != nil && e.Outcome != string(audit.Refused) && caller.May("operations:read") {
		row.Of, row.Operation = target[0]+" · "+cmp.Or(d.Identities.Of.DoorName(c.Request().Context(), target[0], target[1]), short(target[1])), target[2]
	}
	return row
}

// What is the action in words: a noun, a full stop, a verb.
func (e entryRow) What() string {
	return wording.Capital(strings.NewReplacer("api_", "API ", "nats_", "NATS ", ".", ": ", "_", " ").Replace(e.Action))
}

// Who names the actor so that none can pass for one of another kind.
func (e entryRow) Who() string {
	kind, ok := map[string]string{
		"key": "API key", "browser": "a browser", "nats": "NATS program", "local": "a command on the gateway’s machine",
		"gateway": "the gateway itself", "unknown": "nobody said who",
	}[e.ActorKind]
	if !ok {
		kind = e.ActorKind
	}
	return strings.TrimSpace(kind + " " + e.Actor)
}

type auditPage struct {
	Items    []entryRow
	Query    url.Values
	Next     string
	First    bool
	Actions  []string
	Verified *audit.Verified
}

// Filtered tells whether something narrows the list down.
func (p auditPage) Filtered() bool { return len(p.Query) > 0 }

// auditFilters are the query parameters that narrow entries down.
var auditFilters = []string{"actor", "action", "account", "target", "since", "until"}

// auditActions are those that people often look for.
var auditActions = []string{
	"api_key.create", "api_key.revoke", "connect_link.create", "connection.connect", "connection.disconnect", "delivery.retry", "doorflow.write",
	"endpoint.change", "endpoint.create", "endpoint.delete", "identity.create", "identity.delete", "identity.register", "keys.rotate",
	"message.replay", "nats_credential.create", "nats_credential.revoke", "session.close", "session.open", "sign_in_link.create",
}

// audit is GET /audit.
func (d *Dashboard) audit(c echo.Context) error {
	found, next, err := d.Audit.Page(c)
	if err != nil {
		return err
	}
	page := auditPage{Query: kept(c, auditFilters), First: c.QueryParam("after") == "", Actions: auditActions, Verified: d.Audit.Last(c)}
	for _, e := range found {
		page.Items = append(page.Items, d.entryRow(c, e))
	}
	if next != "" {
		further := url.Values{"after": {next}}
		maps.Copy(further, page.Query)
		page.Next = "/audit?" + further.Encode()
	}
	return d.show(c, "audit", "Audit", page)
}

type entryPage struct {
	entryRow
	JSON template.HTML
}

// entry is GET /audit/:id.
func (d *Dashboard) entry(c echo.Context) error {
	found, err := d.Audit.Find(c)
	if err != nil {
		return err
	}
	body, err := json.Marshal(found)
	if err != nil {
		return err
	}
	row := d.entryRow(c, found)
	return d.show(c, "entry", row.What(), entryPage{row, colour(body)})
}

type verifyPage struct {
	Last *audit.Verified
	Head string
	// Live is where the progress of a verification comes from, "" when none was asked for.
	Live string
}

// verify is GET /audit/verify: the last verification, or with ?run= the progress of one, which goes on for as long as
// somebody looks.
func (d *Dashboard) verify(c echo.Context) error {
	if _, err := d.heads(c); err != nil {
		return d.again(c, err, "verify", "base", "Is the audit log as it was written?", verifyPage{Head: c.QueryParam("head")})
	}
	page := verifyPage{Last: d.Audit.Last(c), Head: c.QueryParam("head")}
	if c.QueryParam("run") != "" {
		page.Live = "/audit/verify/live?" + kept(c, []string{"head"}).Encode()
	}
	return d.show(c, "verify", "Is the audit log as it was written?", page)
}

// heads reads what was typed; a field that was left empty is no head.
func (d *Dashboard) heads(c echo.Context) (audit.Heads, error) {
	q := c.QueryParams()
	if q.Get("head") == "" {
		q.Del("head")
	}
	return d.Audit.Heads(c)
}

// verifyLive is GET /audit/verify/live: server-sent events, each of them JSON. The last one has the result as HTML.
func (d *Dashboard) verifyLive(c echo.Context) error {
	if _, err := d.heads(c); err != nil {
		return err
	}
	c.Response().Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	return d.Audit.Prove(c, "text/event-stream", func(p audit.Progress) error {
		said := struct {
			Done   int64  `json:"done"`
			Of     int64  `json:"of"`
			Result string `json:"result,omitempty"`
		}{p.Done, p.Of, ""}
		if p.Report != nil {
			var buf bytes.Buffer
			found := &audit.Verified{At: time.Now(), Report: *p.Report}
			if err := d.templates["verify"].ExecuteTemplate(&buf, "verified", found); err != nil {
				return err
			}
			said.Result = buf.String()
		}
		data, err := json.Marshal(said)
		if err != nil {
			return err
		}
		_, err = c.Response().Write([]byte("data: " + string(data) + "\n\n"))
		return err
	})
}
