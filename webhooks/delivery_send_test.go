package webhooks

import (
	"context"
	"net/http"
	"testing"
	"time"

	"gatehouse/internal/egress"
	"gatehouse/standardwebhooks"
)

// sender is the part of Deliveries that sends, to an endpoint that answers so. It counts what it sends.
func sender(answer egress.Answer) (d *Deliveries, sent *int) {
	sent, now := new(int), time.Now()
	d = &Deliveries{lanes: newLanes(), sending: context.Background()}
	d.Now = func() time.Time { return now }
	d.Post = func(context.Context, string, http.Header, []byte) (egress.Answer, error) { *sent++; return answer, nil }
	return d, sent
}

func jobUntil(until time.Time) *job {
	e := &Endpoint{ID: "a", secrets: []signingSecret{{secret: standardwebhooks.NewSecret()}}}
	return &job{endpoint: e, message: message{id: "m", body: []byte(`{}`)}, n: 1, roundAt: until, until: until}
}

// What comes too late to be answered before somebody else may send it is not sent.
func TestWhatComesTooLateIsLeftToOthers(t *testing.T) {
	for left, want := range map[time.Duration]Outcome{
		20 * time.Second: OutcomeDelivered, 20*time.Second - time.Millisecond: outcomeCanceled, -time.Minute: outcomeCanceled,
	} {
		d, sent := sender(egress.Answer{Status: http.StatusNoContent})
		j := jobUntil(d.Now().Add(left))
		done, asked := d.try(j)
		if delivered := want == OutcomeDelivered; done.Outcome != want || (*sent == 1) != delivered {
			t.Errorf("with %s left it is %s, and was sent %d times; want %s", left, done.Outcome, *sent, want)
		}
		if r := d.resultOf(j, done, asked); want == outcomeCanceled && (r.verdict != putBack || !r.due.Equal(d.Now().Add(putBackPause)) || r.notes) {
			t.Errorf("with %s left it is put back until %s (%v), the endpoint's fault: %v", left, r.due, r.verdict, r.notes)
		}
	}
}

// Retry-After counts where the endpoint says that it is busy, and nowhere else.
func TestRetryAfterIsOfWhoIsBusy(t *testing.T) {
	for status, want := range map[int]time.Duration{429: time.Hour, 503: time.Hour, 200: 0, 301: 0, 404: 0, 410: 0, 500: 0, 502: 0} {
		d, _ := sender(egress.Answer{Status: status, RetryAfter: time.Hour})
		if _, asked := d.try(jobUntil(d.Now().Add(deliveryLease))); asked != want {
			t.Errorf("%d: waits %s, want %s", status, asked, want)
		}
	}
}

// The success rate is of what endpoints answered, or did not: not of what the gateway put back or had no more.
func TestWhatIsCounted(t *testing.T) {
	tally := newTally()
	for outcome, verdict := range map[Outcome]verdict{
		OutcomeDelivered: arrived, OutcomeFailed: tryAgain, OutcomeGone: giveUp, outcomeCanceled: putBack, OutcomeMissing: giveUp,
	} {
		tally.count(result{job: job{endpoint: &Endpoint{ID: "a"}}, attempt: Attempt{Outcome: outcome}, verdict: verdict, at: time.Unix(7200, 0)})
	}
	if got, want := tally.counts[hourOf{"a", 2}], (counted{delivered: 1, failed: 2}); got != want || len(tally.counts) != 1 {
		t.Errorf("%+v, want %+v", tally.counts, want)
	}
}
