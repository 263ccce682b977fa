package dashboard

import (
	"fmt"
	"time"

	"gatehouse/web"
)

// station is a place that messages go through.
type station struct {
	Name, Icon string
	// Rate is how many went through within the last minute, and Of what.
	Rate float64
	Of   string
	// Moving is shown by the line that leads to it.
	Moving bool
	// Tone is good, warn, bad or idle; State says the same in words.
	Tone, State string
	Note        string
	Since       time.Time // when something last came, zero where that is not known
	// Line is how much went through lately, and Path the page that shows more of it, "" where there is none.
	Line, Path string
}

// flow is the picture of the overview: the way of a webhook to NATS, and what branches off.
type flow struct {
	Way, Branches []station
	Spark         spark
	Since         time.Time
	// Sum is how many messages were said in the last hour, and Most those of its busiest minute.
	Sum, Most float64
	// Ago is how long ago the lines begin.
	Ago string
}

// tooLate is how many messages may wait for NATS before somebody should look.
const tooLate = 1000

// flow is what the caller may know of it: of deliveries and operations only who may look at them.
func (d *Dashboard) flow(r Reading, caller web.Caller) flow {
	rate := func(name string) float64 { return r.Minutes[name][minutes-1] }
	f := flow{Since: r.Since}
	in := station{Name: "Webhooks in", Icon: "in", Rate: rate("webhooks"), Of: "a minute", Tone: "good", State: "Listening"}
	switch quiet := time.Duration(r.Now["quiet"]) * time.Second; {
	case d.Connections == nil:
		in.Tone, in.State = "idle", "DoorFlow is off"
	case rate("refused") > 0:
		in.Tone, in.State = "warn", fmt.Sprintf("%s refused in the last minute", number(rate("refused")))
	case r.Now["webhooks"] == 0:
		in.Note = "none since the start"
	default:
		in.Since = d.Now().Add(-quiet)
	}
	log := station{Name: "Log", Icon: "log", Rate: rate("messages"), Of: "a minute", Tone: "good", State: "Storing", Note: number(r.Now["messages"]) + " since the start"}
	if r.Sick["database"] {
		log.Tone, log.State = "bad", "The database takes nothing"
	}
	relay := station{Name: "Relay", Icon: "relay", Rate: r.Now["lag"], Of: "waiting", Moving: rate("published") > 0, Tone: "good", State: "Up to date", Note: "the log’s way to NATS"}
	switch {
	case r.Now["lag"] > 0 && r.Sick["nats"]:
		relay.Tone, relay.State = "warn", "Waits for NATS"
	case r.Now["lag"] > tooLate:
		relay.Tone, relay.State = "warn", "Behind"
	}
	nats := station{Name: "NATS", Icon: "nats", Rate: rate("published"), Of: "a minute", Tone: "good", State: "Connected", Note: "acknowledged"}
	if r.Sick["nats"] {
		nats.Tone, nats.State, nats.Note = "bad", "Not reachable", "Messages wait in the log; none is lost"
	}
	in.Moving, log.Moving, nats.Moving = in.Rate > 0, log.Rate > 0, nats.Rate > 0
	f.Way = []station{in, log, relay, nats}
	if d.Connections != nil {
		facts := station{Moving: rate("fetched") > 0, Name: "Facts fetched", Icon: "facts", Rate: rate("fetched"), Of: "a minute", Tone: "good", State: "Up to date", Note: most(r.Now["to fetch"]) + " waiting"}
		if behind(r.Now["to fetch"], facts.Rate) {
			facts.Tone, facts.State = "warn", "Behind"
		}
		if r.Now["not fetched"] > 0 {
			facts.Tone, facts.State = "warn", most(r.Now["not fetched"])+" cannot be fetched"
		}
		f.Branches = append(f.Branches, facts)
	}
	deliveries := station{
		Name: "Deliveries", Icon: "send", Rate: rate("delivered"), Of: "a minute", Moving: rate("delivered") > 0, Tone: "good", State: "Up to date",
		Note: number(r.Now["to deliver"]) + " waiting",
	}
	if behind(r.Now["to deliver"], deliveries.Rate) {
		deliveries.Tone, deliveries.State = "warn", "Behind"
	}
	if n := r.Now["given up"]; n > 0 {
		deliveries.Tone, deliveries.State = "warn", number(n)+" parked"
	}
	if caller.May("endpoints:read") {
		f.Branches = append(f.Branches, deliveries)
	}
	if d.Identities.Of != nil && caller.May("operations:read") {
		f.Branches = append(f.Branches, station{
			Name: "Operations", Icon: "door", Rate: rate("operations"), Of: "a minute", Moving: rate("operations") > 0, Tone: "good", State: "Ready", Note: most(r.Now["under way"]) + " under way",
		})
	}
	f.draw(r)
	return f
}

// behind tells whether more waits than what goes through in a minute; a few always do.
func behind(waiting, rate float64) bool { return waiting > max(10, rate) }

// most is a number that was not counted to its end.
func most(n float64) string {
	if n >= countUpTo {
		return number(n) + "+"
	}
	return number(n)
}
