package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"gatehouse/internal/natsauth"
	"gatehouse/sharing"
)

// deskName is that of the reception desk's credentials, and so of whom it asks as.
const deskName = "reception"

// admittedByPIN is the code of DoorFlow's own example, "Admitted Ana Pereira using PIN". Only its range is
// documented to mean that somebody was let in.
const admittedByPIN = 11

// visit is how long a visitor has the meeting room.
const visit = time.Hour

// reception is a program as a user would write one: it hears who comes in, and asks for the meeting room for
// them. It has nothing but NATS and its credentials.
type reception struct {
	conn *nats.Conn
	ear  *ear
	subs []*nats.Subscription // of the ear
}

// openDesk mints the credentials over the API, and connects with them.
func (d *demo) openDesk(ctx context.Context) (*reception, error) {
	var minted natsauth.Minted
	grant := natsauth.Request{Grant: natsauth.Grant{
		Name: deskName, Events: []string{"*"},
		Ask: map[string][]string{ada: {sharing.Share}}, Command: map[string][]string{ben: {sharing.Share}},
	}}
	if err := d.api.do(ctx, http.MethodPost, natsPath, nil, grant, &minted); err != nil {
		return nil, fmt.Errorf("minting NATS credentials: %w", err)
	}
	r := &reception{ear: newEar()}
	var err error
	r.conn, err = nats.Connect(d.natsURL(), nats.UserCredentialBytes([]byte(minted.Creds)), nats.Name(deskName),
		nats.CustomInboxPrefix("_INBOX."+deskName),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			r.ear.fail(fmt.Errorf("the desk's connection: %w", err))
		}))
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	for _, subject := range []string{
		"gatehouse.notification.>", "gatehouse.event.>", "gatehouse.operation." + ada + ".>", "gatehouse.operation." + ben + ".>", "gatehouse.identity." + ben + ".>",
	} {
		sub, failed := r.conn.Subscribe(subject, func(m *nats.Msg) { r.ear.hear(read(m)) })
		r.subs, err = append(r.subs, sub), errors.Join(err, failed)
	}
	_, failed := r.conn.Subscribe("gatehouse.event.*.access.granted", func(m *nats.Msg) {
		if err := r.welcome(read(m)); err != nil {
			r.ear.fail(err)
			d.tell("Reception cannot share the Meeting Room: %s", err)
		}
	})
	if err := errors.Join(err, failed, r.conn.Flush()); err != nil {
		r.conn.Close()
		return nil, fmt.Errorf("subscribing on NATS: %w", err)
	}
	return r, nil
}

// deaf lets the ear remember no more: the story is over.
func (r *reception) deaf() {
	for _, s := range r.subs {
		_ = s.Unsubscribe()
	}
}

func read(m *nats.Msg) heard {
	h := heard{On: m.Subject}
	_ = json.Unmarshal(m.Data, &h) // what is no message is nothing that anybody waits for
	return h
}

// welcome asks for the meeting room for a visitor who has typed a PIN. The event's id is the operation's: heard
// twice, it is shared once.
func (r *reception) welcome(h heard) error {
	e := h.event()
	if e.Code != admittedByPIN || e.Person == 0 {
		return nil
	}
	ask, err := json.Marshal(map[string]any{
		"id": h.ID, "lock": meetingRoom, "end": h.Time.Add(visit).UTC().Format(time.RFC3339),
		"invitees": []map[string]string{{"foreign_key": foreignKey(e.Person)}},
	})
	if err != nil {
		return err
	}
	answer, err := r.request("gatehouse.ask."+ada+".share."+deskName, ask)
	if err == nil && answer.Header.Get("Nats-Service-Error") != "" {
		err = errors.New(answer.Header.Get("Nats-Service-Error"))
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil // the demo ends
	}
	return err
}

// command has the stream keep a command, from which the gateway takes it.
func (r *reception) command(identity string, body []byte) error {
	answer, err := r.request("gatehouse.command."+identity+".share."+deskName, body)
	if err != nil {
		return err
	}
	var kept struct{ Seq uint64 }
	if err := json.Unmarshal(answer.Data, &kept); err != nil || kept.Seq == 0 {
		return fmt.Errorf("the stream of commands answered %s", answer.Data)
	}
	return nil
}

func (r *reception) request(subject string, body []byte) (*nats.Msg, error) {
	answer, err := r.conn.Request(subject, body, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("asking on %s: %w", subject, err)
	}
	return answer, nil
}

// natsURL is where programs with credentials connect.
func (d *demo) natsURL() string { return "nats://" + d.app.natsAddr() }

// outcome waits until an operation of the caller's id has ended, or is queued where that is wanted, by what is
// said on NATS.
func (d *demo) outcome(ctx context.Context, what, id string, want sharing.Status) (sharing.Answer, error) {
	ctx, stop := d.within(ctx, fmt.Sprintf("%s was to become %s", what, want))
	defer stop()
	var a sharing.Answer
	_, err := d.desk.ear.first(ctx, func(h heard) bool {
		if h.kind() != "operation" {
			return false
		}
		said := h.operation()
		if said.ID != id || said.Status != want && !said.Status.Final() {
			return false
		}
		a = said
		return true
	})
	switch {
	case err != nil:
		return a, err
	case a.Status != want:
		return a, fmt.Errorf("%s ended as %s, not as %s%s", what, a.Status, want, because(a))
	}
	return a, nil
}

// because is the first reason that an answer has.
func because(a sharing.Answer) string {
	reasons := []string{a.Detail, a.Error}
	for _, r := range a.Results {
		reasons = append(reasons, r.Error)
	}
	for _, r := range reasons {
		if r != "" {
			return ": " + r
		}
	}
	return ""
}
