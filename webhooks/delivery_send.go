package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/standardwebhooks"
)

// keepAnswer is how much of an endpoint's answer is kept, in bytes.
const keepAnswer = 1 << 10

// Attempt is one try to deliver a message.
type Attempt struct {
	// N counts from 1.
	N int64
	// At is when it began, and Took how long it lasted; both zero where it was cut off.
	At   time.Time
	Took time.Duration
	// Outcome is how it ended.
	Outcome Outcome
	// Status is what the endpoint answered, 0 where it did not.
	Status int
	// Answer is the first KiB of it, or what kept an answer from coming. It is foreign text, without control characters.
	Answer string
}

// MarshalJSON shows the duration in milliseconds.
func (a Attempt) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		N       int64     `json:"n,omitempty"`
		At      time.Time `json:"at,omitzero"`
		Took    int64     `json:"took_ms"`
		Outcome Outcome   `json:"outcome"`
		Status  int       `json:"status,omitempty"`
		Answer  string    `json:"answer,omitempty"`
	}{a.N, a.At.UTC(), a.Took.Milliseconds(), a.Outcome, a.Status, a.Answer})
}

// send makes the attempts of claimed jobs, each in its own time.
func (d *Deliveries) send(jobs []*job) {
	for _, j := range jobs {
		d.attempts.Go(func() { d.attempt(j) })
	}
}

// attempt makes one attempt and stores how it ended. The slot is free when the endpoint has answered, but that of an
// ordered one only when it is stored.
func (d *Deliveries) attempt(j *job) {
	id := j.endpoint.ID
	done, asked := d.try(j)
	r := d.resultOf(j, done, asked)
	if j.endpoint.Ordered {
		d.store(r)
		d.lanes.free(id)
	} else {
		d.lanes.free(id)
		d.store(r)
	}
	d.metrics.attempted(r)
	d.tally.count(r)
}

// try makes the attempt, for which the message may have to be read back.
func (d *Deliveries) try(j *job) (done Attempt, asked time.Duration) {
	var err error
	if j.message.body == nil {
		ctx, cancel := context.WithTimeout(d.sending, loadTimeout)
		j.message, err = d.load(ctx, j.message)
		cancel()
	}
	switch {
	case d.Now().After(j.until.Add(-leaseReserve)):
		done = Attempt{At: d.Now(), Outcome: outcomeCanceled, Answer: "it came too late to be sent before somebody else may send it"}
	case err != nil:
		done = Attempt{At: d.Now(), Outcome: outcomeCanceled, Answer: "the message could not be read; it is tried again"}
	case j.message.body == nil:
		done = Attempt{At: d.Now(), Outcome: OutcomeMissing, Answer: "the message is older than the retention"}
	default:
		done, asked = d.post(d.sending, j.endpoint, j.message.id, j.message.body)
	}
	done.N = j.n
	return done, asked
}

// Try sends a message to an endpoint once, signed as all are. It is recorded nowhere.
func (d *Deliveries) Try(ctx context.Context, e *Endpoint, m events.Encoded) Attempt {
	done, _ := d.post(ctx, e, m.ID, m.Body)
	return done
}

// post sends a message and says how that ended, and how long the endpoint asked to be left alone.
func (d *Deliveries) post(ctx context.Context, e *Endpoint, id string, body []byte) (Attempt, time.Duration) {
	began, a := time.Now(), Attempt{At: d.Now()}
	header, err := signedHeader(e, id, body, a.At)
	if err != nil {
		a.Outcome, a.Answer = OutcomeUnsigned, "the endpoint's secret cannot be opened: rotate it"
		return a, 0
	}
	answer, err := d.Post(ctx, e.URL, header, body)
	a.Took = time.Since(began)
	if err != nil {
		a.Outcome, a.Answer = outcomeOfError(err), cleaned([]byte(err.Error()))
		return a, 0
	}
	a.Status, a.Outcome, a.Answer = answer.Status, outcomeOf(answer.Status), cleaned(answer.Body)
	if a.Outcome != OutcomeBusy {
		return a, 0
	}
	return a, answer.RetryAfter
}

// signedHeader proves a message in two ways: by Standard Webhooks, with each secret that is valid, and by DoorFlow's own
// scheme, which has room for one, the newest.
func signedHeader(e *Endpoint, id string, body []byte, at time.Time) (http.Header, error) {
	secrets, err := e.Secrets(at)
	if err != nil {
		return nil, err
	}
	if len(secrets) == 0 {
		return nil, errNoSecret
	}
	header := http.Header{"Content-Type": {events.ContentType}, "User-Agent": {"gatehouse"}}
	if err := standardwebhooks.Sign(header, id, at, body, secrets...); err != nil {
		return nil, err
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	header.Set(doorflow.TimestampHeader, timestamp)
	header.Set(doorflow.SignatureHeader, doorflow.Sign([]byte(secrets[0].Reveal()), timestamp, body))
	return header, nil
}

// cleaned is the beginning of a stranger's text as it may be stored and shown.
func cleaned(text []byte) string {
	text = text[:min(len(text), keepAnswer)]
	s := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return utf8.RuneError
		}
		return r
	}, string(text))
	for len(s) > keepAnswer { // what was replaced has become longer
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// resultOf decides what becomes of a delivery after an attempt.
func (d *Deliveries) resultOf(j *job, done Attempt, asked time.Duration) result {
	now := d.Now()
	r := result{job: *j, attempt: done, verdict: done.Outcome.verdict(), at: now}
	r.message.body = nil
	switch r.verdict {
	case tryAgain:
		due, again := nextAttempt(j.n-j.roundFrom, j.roundAt, now, asked, rand.Float64())
		if r.due = due; !again {
			r.verdict = giveUp
		}
		r.notes = d.lanes.judge(j.endpoint.ID, false, j.n > 1)
	case arrived:
		r.notes = d.lanes.judge(j.endpoint.ID, true, j.n > 1)
	case putBack:
		if r.due = now; d.sending.Err() == nil {
			r.due = now.Add(putBackPause) // what kept it from being sent may last
		}
	}
	return r
}

// store stores a result. It tries for as long as the delivery is ours; after that somebody sends it again.
func (d *Deliveries) store(r result) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.sending), settleTimeout)
	defer cancel()
	for {
		err := d.finish.Do(ctx, []result{r})
		if err == nil {
			return
		}
		if errors.Is(err, events.ErrClosed) || ctx.Err() != nil {
			d.Logger.Warn("how a delivery ended was not stored; it is sent again", "endpoint", r.endpoint.ID, "message", r.message.id, "error", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(50*time.Millisecond + rand.N(100*time.Millisecond)):
		}
	}
}
