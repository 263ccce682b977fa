package dashboard

import (
	"context"
	"net/url"
	"strings"
	"time"

	"gatehouse/sharing"
	"gatehouse/web"
	"gatehouse/webhooks"
)

// need is something that waits for a person.
type need struct {
	Tone, Title, Text string
	// Since is since when, or until when, as the text says; zero where there is no such time.
	Since time.Time
	// Path is where it can be seen to, and Do what the link says.
	Path, Do string
}

// ID is the need's in the page, so that who has the focus on its link keeps it when others come and go.
func (n need) ID() string { return "need-" + strings.ReplaceAll(n.Path+"-"+n.Title, " ", "-") }

const (
	mostNeeds = 50
	// endsSoon is how long before a chain's end somebody should know that it has not been renewed.
	endsSoon = 72 * time.Hour
)

// needs are what waits for a person, as far as the caller may know, the worst first.
func (d *Dashboard) needs(ctx context.Context, caller web.Caller) ([]need, error) {
	var all []need
	for _, look := range []func(context.Context, web.Caller) ([]need, error){d.connectionNeeds, d.identityNeeds, d.endpointNeeds, d.logNeeds} {
		found, err := look(ctx, caller)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	sorted := make([]need, 0, len(all))
	for _, tone := range []string{"bad", "warn"} {
		for _, n := range all {
			if n.Tone == tone {
				sorted = append(sorted, n)
			}
		}
	}
	return sorted, nil
}

func (d *Dashboard) connectionNeeds(ctx context.Context, caller web.Caller) ([]need, error) {
	if d.Connections == nil || !caller.May("connections:read") {
		return nil, nil
	}
	troubled, err := d.Connections.Keeper.Troubled(ctx, caller.Accounts, mostNeeds)
	if err != nil {
		return nil, err
	}
	var all []need
	for _, c := range troubled {
		n := need{Tone: "warn", Path: "/connections/" + url.PathEscape(c.Account), Do: "Look at it"}
		switch {
		case c.Status == "reauthorize":
			n.Tone, n.Title, n.Do = "bad", c.Account+" must be connected again", "Reauthorize"
			n.Text = "DoorFlow no longer accepts its tokens. Webhooks are still stored, but no facts are fetched."
		case !c.SilentSince.IsZero():
			n.Title, n.Since = c.Account+" is silent", c.SilentSince
			n.Text = "Its connection works, but no webhook comes. Look whether webhooks are still switched on at DoorFlow."
		default:
			n.Title = c.Account + " lacks a scope"
			n.Text = "DoorFlow refuses what was asked for: " + strings.Join(c.Forbidden, ", ")
		}
		all = append(all, n)
	}
	return all, nil
}

func (d *Dashboard) identityNeeds(ctx context.Context, caller web.Caller) ([]need, error) {
	if d.Identities.Of == nil || !caller.May("identities:read") {
		return nil, nil
	}
	troubled, count, err := d.Identities.Of.Troubled(ctx, caller.Identities, d.Now().Add(endsSoon), mostNeeds)
	if err != nil {
		return nil, err
	}
	var all []need
	for _, i := range troubled {
		path := identityPath(i.Name)
		switch i.Status {
		case sharing.StatusFailed:
			all = append(all, need{Tone: "bad", Title: i.Name + " cannot act", Text: "Its registration at Doordeck failed: " + orNothing(i.Detail, i.Reason) + ".", Path: path, Do: "Look at it"})
		case sharing.StatusVerification:
			all = append(all, need{Tone: "warn", Title: i.Name + " waits for a code", Text: "Doordeck wants its key proven by a code that it sends to its person.", Path: path, Do: "See to the code"})
		default:
			all = append(all, need{Tone: "warn", Title: i.Name + "’s certificate chain is about to end", Text: "It has not been renewed yet; after that nothing can be signed as it.", Since: i.ServesUntil, Path: path, Do: "Look at it"})
		}
	}
	if more := count - len(troubled); more > 0 {
		all = append(all, need{Tone: "warn", Title: howMany(float64(more), "more identity needs somebody", "more identities need somebody"), Text: "These are the ones that need it most.", Path: "/identities", Do: "Look at them"})
	}
	return all, nil
}

func (d *Dashboard) endpointNeeds(ctx context.Context, caller web.Caller) ([]need, error) {
	if !caller.May("endpoints:read") {
		return nil, nil
	}
	troubled, err := d.Endpoints.Endpoints.Troubled(ctx, webhooks.Limits{Accounts: caller.Accounts, Identities: caller.Identities}, mostNeeds)
	if err != nil {
		return nil, err
	}
	var all []need
	for _, e := range troubled {
		n := need{Tone: "bad", Title: e.Name() + " is disabled", Text: disabledBecause(e.DisabledReason) + " Nothing is sent to it any more.", Path: "/endpoints/" + url.PathEscape(e.ID), Do: "Look at it"}
		if e.Enabled {
			n.Tone, n.Title, n.Since = "warn", e.Name()+" does not take what is sent", e.FailingSince
			n.Text = meaning(webhooks.Outcome(e.LastError)) + " Nothing has arrived since"
		}
		all = append(all, n)
	}
	return all, nil
}

// howMany says of how many something is so.
func howMany(n float64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return most(n) + " " + many
}

func orNothing(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return strings.ReplaceAll(strings.TrimSuffix(t, "."), "_", " ")
		}
	}
	return "it did not say why"
}

// logNeeds are about everybody's messages, so that they are for callers without limits.
func (d *Dashboard) logNeeds(_ context.Context, caller web.Caller) ([]need, error) {
	if caller.Accounts != nil || caller.Identities != nil || !caller.May("messages:read") {
		return nil, nil
	}
	r, all := d.Pulse.Read(), []need{}
	if r.Sick["database"] {
		all = append(all, need{Tone: "bad", Title: "The database takes nothing", Text: "Webhooks are answered 503, and DoorFlow sends them again. Look at disk and database; gatehouse doctor helps."})
	}
	if r.Sick["nats"] {
		all = append(all, need{Tone: "bad", Title: "NATS is not reachable", Text: "Messages wait in the log and are published when it is back."})
	}
	if n := r.Now["parked"]; n > 0 {
		all = append(all, need{Tone: "warn", Title: howMany(n, "message is parked", "messages are parked"), Text: "NATS refuses for good what is parked. It is in the history, and the gateway’s log says why.", Path: "/messages", Do: "Look at the messages"})
	}
	if n := r.Now["given up"]; n > 0 && caller.May("endpoints:read") {
		all = append(all, need{Tone: "warn", Title: howMany(n, "delivery is parked", "deliveries are parked"), Text: "An endpoint did not take it for three days. What is parked is kept, and can be sent again.", Path: "/endpoints", Do: "Look at the endpoints"})
	}
	if n := r.Now["not fetched"]; n > 0 {
		facts := need{Tone: "warn", Title: howMany(n, "fact cannot be fetched", "facts cannot be fetched"), Text: "DoorFlow refuses, or what it answers makes no sense. It goes on when the account is connected again."}
		if d.Connections != nil && caller.May("connections:read") {
			facts.Path, facts.Do = "/connections", "Look at the connections"
		}
		all = append(all, facts)
	}
	return all, nil
}
