package doorflowsim

import "context"

// maxLedger bounds the items remembered; the oldest are forgotten.
const maxLedger = 100_000

// The resource types of webhooks.
const (
	typeEvent      = "Event"
	typePerimeter  = "PerimeterEvent"
	typeCredential = "PersonCredential"
)

// item is one thing that a webhook announces.
type item struct {
	account, kind, id, action, path, ack string
	delivered, acknowledged, dropped     bool
	gone                                 bool // by a fault: fetching it answers 404
	attempts, lastStatus                 int
}

// scope is what the account's grant has to cover for the item to be sent.
func (i *item) scope() string {
	if i.kind == typeCredential {
		return scopePersonRead
	}
	return scopeEvents // for perimeter events too; which scope gates them is unknown
}

// LedgerEntry says what became of one announced item. Delivered and acknowledged are different things: a 200
// says that the webhook was received, fetching the resource with its ack_token that it was processed.
type LedgerEntry struct {
	Account      string `json:"account"`
	ResourceType string `json:"resource_type"`
	ResourceID   string `json:"resource_id"`
	Action       string `json:"action"`
	AckToken     string `json:"ack_token"`
	Delivered    bool   `json:"delivered"`
	Acknowledged bool   `json:"acknowledged"`
	// Dropped items were never sent or not sent again, because the grant or the webhook URL had gone.
	Dropped    bool `json:"dropped"`
	Attempts   int  `json:"attempts"`
	LastStatus int  `json:"last_status"` // 0 if there was no answer
}

// Ledger lists what was announced, oldest first.
func (s *Sim) Ledger() []LedgerEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.entries()
}

// WaitLedger waits until the ledger satisfies a condition.
func (s *Sim) WaitLedger(ctx context.Context, satisfied func([]LedgerEntry) bool) error {
	return s.wait(ctx, func() bool { return satisfied(s.queue.entries()) })
}

func (q *queue) entries() []LedgerEntry {
	entries := make([]LedgerEntry, 0, len(q.ledger))
	for _, i := range q.ledger {
		entries = append(entries, LedgerEntry{
			Account: i.account, ResourceType: i.kind, ResourceID: i.id, Action: i.action, AckToken: i.ack,
			Delivered: i.delivered, Acknowledged: i.acknowledged, Dropped: i.dropped,
			Attempts: i.attempts, LastStatus: i.lastStatus,
		})
	}
	return entries
}

// enter gives an item its token and remembers it.
func (q *queue) enter(i *item) {
	i.ack = hashID(9)
	if len(q.ledger) >= maxLedger {
		delete(q.byAck, q.ledger[0].ack)
		q.ledger = q.ledger[1:]
	}
	q.ledger = append(q.ledger, i)
	q.byAck[i.ack] = i
}

// destroyed says whether a fault has declared the resource behind a token gone.
func (q *queue) destroyed(ack string) bool {
	i := q.byAck[ack]
	return i != nil && i.gone
}

// acknowledge notes that the resource was fetched with its token. A token counts only for its own resource.
func (c *call) acknowledge(id string) {
	q := &c.sim.queue
	if i := q.byAck[c.query.Get("ack_token")]; i != nil && i.account == c.account.id && i.id == id && !i.acknowledged {
		i.acknowledged = true
		q.broadcast()
	}
}
