package webtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Bus is asyncapi.yaml, with what has been seen of it. It may be used by many goroutines at once.
type Bus struct {
	*Document
	// Channels are all that it describes, by id.
	Channels []Channel

	mu   sync.Mutex
	seen map[string]bool // CHANNEL/MESSAGE
}

// Channel is one of the description.
type Channel struct {
	ID string
	// Address is its subject with {parameters}; "" where that is known only at run time.
	Address string
	// Messages are the ids of what it carries.
	Messages []string
}

// AsyncAPI reads asyncapi.yaml.
func AsyncAPI(path string) (*Bus, error) {
	d, err := Open(path)
	if err != nil {
		return nil, err
	}
	b := &Bus{Document: d, seen: map[string]bool{}}
	_, found := d.Find("channels")
	channels, _ := found.(map[string]any)
	for id := range channels {
		c := Channel{ID: id}
		_, address := d.Find("channels", id, "address")
		c.Address, _ = address.(string)
		_, messages := d.Find("channels", id, "messages")
		for name := range messages.(map[string]any) {
			c.Messages = append(c.Messages, name)
		}
		slices.Sort(c.Messages)
		b.Channels = append(b.Channels, c)
	}
	slices.SortFunc(b.Channels, func(x, y Channel) int { return strings.Compare(x.ID, y.ID) })
	return b, nil
}

// Check holds a message on a subject against the one that its channel carries there, and returns its id.
func (b *Bus) Check(subject string, payload []byte) (string, error) {
	for _, c := range b.Channels {
		if b.Fits(c, subject) {
			return b.CheckOne(c.ID, c.Messages, payload)
		}
	}
	return "", fmt.Errorf("no channel has the subject %s", subject)
}

// CheckOne wants a payload to be just one of some messages of a channel, and returns which.
func (b *Bus) CheckOne(channel string, messages []string, payload []byte) (string, error) {
	var is []string
	var faults []error
	for _, m := range messages {
		schema, _ := b.Find("channels", channel, "messages", m, "payload")
		if err := b.CheckJSON(schema, payload); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", m, err))
		} else {
			is = append(is, m)
		}
	}
	if len(is) != 1 {
		return "", fmt.Errorf("it is %d of the messages %v of %s: %w\n%s", len(is), messages, channel, errors.Join(faults...), clip(payload))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[channel+"/"+is[0]] = true
	return is[0], nil
}

// AnyWord stands in a subject for every token that a channel may have there.
const AnyWord = "*"

// Fits tells whether a subject is one of a channel's.
func (b *Bus) Fits(c Channel, subject string) bool {
	want, got := strings.Split(c.Address, "."), strings.Split(subject, ".")
	if len(want) != len(got) {
		return false
	}
	for i, w := range want {
		name, isParam := strings.CutPrefix(w, "{")
		if !isParam && w != got[i] {
			return false
		}
		_, found := b.Find("channels", c.ID, "parameters", strings.TrimSuffix(name, "}"), "enum")
		if words, _ := found.([]any); isParam && len(words) > 0 && got[i] != AnyWord && !slices.Contains(words, any(got[i])) {
			return false
		}
	}
	return true
}

// Unseen are the channels with the messages, CHANNEL/MESSAGE, that Check has not met.
func (b *Bus) Unseen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var missing []string
	for _, c := range b.Channels {
		for _, m := range c.Messages {
			if !b.seen[c.ID+"/"+m] {
				missing = append(missing, c.ID+"/"+m)
			}
		}
	}
	return missing
}
