package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// ContentType is the media type of a message on NATS and in deliveries: a CloudEvent in structured mode.
const ContentType = "application/cloudevents+json"

// maxData is how large the data of a message may be. NATS servers refuse messages over 1 MiB by default,
// and the envelope and a subscriber's own wrapping want room.
const maxData = 256 << 10

// Where a message's facts came from.
const (
	OriginWebhook = "webhook"
	OriginCatchup = "catchup"
	OriginReplay  = "replay"
)

// FlagOversize marks a message whose data was too large; it holds a stub that names the resource.
const FlagOversize = "oversize"

// Message is a CloudEvents 1.0 envelope (https://github.com/cloudevents/spec) with the gateway's own
// extension attributes: account, origin, flag, replayof.
type Message struct {
	SpecVersion string `json:"specversion"`
	ID          string `json:"id"`
	Source      string `json:"source"`
	Type        string `json:"type"`
	// Subject is the resource the message is about, such as events/700000001.
	Subject         string          `json:"subject,omitempty"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Account         string          `json:"account,omitempty"`
	Origin          string          `json:"origin,omitempty"`
	Flag            string          `json:"flag,omitempty"`
	ReplayOf        string          `json:"replayof,omitempty"`
	Data            json.RawMessage `json:"data"`

	topic Topic
}

// NewMessage begins a message on a topic, with an id of its own. Time is when the thing happened.
func NewMessage(topic Topic, at time.Time, data json.RawMessage) Message {
	return Message{
		SpecVersion:     "1.0",
		ID:              uuid.Must(uuid.NewV7()).String(),
		Source:          topic.source(),
		Type:            topic.Type(),
		Time:            at.UTC(),
		DataContentType: "application/json",
		Account:         topic.account(),
		Data:            data,
		topic:           topic,
	}
}

// Encoded is a message as bytes, ready for the log.
type Encoded struct {
	ID, Account, Subject string // Subject is the NATS subject
	Body                 []byte
}

// Encode renders the message. Data must be JSON; bytes in it that are not UTF-8 become U+FFFD, because
// neither JSON nor a subscriber has a use for them.
func (m Message) Encode() (Encoded, error) {
	if len(m.Data) == 0 {
		m.Data = json.RawMessage("null")
	}
	if !utf8.Valid(m.Data) {
		m.Data = bytes.ToValidUTF8(m.Data, []byte("\uFFFD"))
	}
	if len(m.Data) > maxData {
		stub, err := json.Marshal(map[string]any{"oversize": true, "bytes": len(m.Data), "resource": m.Subject})
		if err != nil {
			return Encoded{}, err
		}
		m.Data, m.Flag = stub, FlagOversize
	}
	var buf bytes.Buffer
	buf.Grow(len(m.Data) + 512)
	m.writeAttributes(&buf)
	if err := json.Compact(&buf, m.Data); err != nil {
		// The error could quote the data.
		return Encoded{}, fmt.Errorf("encoding message %s: data is not JSON", m.ID)
	}
	buf.WriteByte('}')
	return Encoded{
		ID: m.ID, Account: m.Account, Subject: m.topic.Subject(),
		Body: buf.Bytes(),
	}, nil
}

// writeAttributes writes all but the data, as encoding/json would; by hand, because every webhook passes here.
func (m *Message) writeAttributes(buf *bytes.Buffer) {
	between := byte('{')
	for _, a := range [...]struct{ name, value string }{
		{"specversion", m.SpecVersion},
		{"id", m.ID},
		{"source", m.Source},
		{"type", m.Type},
		{"subject", m.Subject},
		{"time", m.Time.Format(time.RFC3339Nano)},
		{"datacontenttype", m.DataContentType},
		{"account", m.Account},
		{"origin", m.Origin},
		{"flag", m.Flag},
		{"replayof", m.ReplayOf},
	} {
		if a.value == "" {
			continue
		}
		buf.WriteByte(between)
		buf.WriteByte('"')
		buf.WriteString(a.name)
		buf.WriteString(`":`)
		writeString(buf, a.value)
		between = ','
	}
	buf.WriteString(`,"data":`)
}

// writeString writes a JSON string.
func writeString(buf *bytes.Buffer, s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string can always be marshalled
			buf.Write(quoted)
			return
		}
	}
	buf.WriteByte('"')
	buf.WriteString(s)
	buf.WriteByte('"')
}

// ErrNotReplayable says that a stored message cannot be said again.
var ErrNotReplayable = errors.New("events: the stored message is not one of ours")

// replayed returns a stored message as a new one that names the old.
func replayed(subject string, body []byte) (Encoded, error) {
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		return Encoded{}, ErrNotReplayable
	}
	m.ReplayOf, m.Origin = m.ID, OriginReplay
	m.ID = uuid.Must(uuid.NewV7()).String()
	encoded, err := m.Encode()
	encoded.Subject = subject
	return encoded, err
}
