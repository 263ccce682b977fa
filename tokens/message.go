package tokens

import (
	"context"
	"encoding/json"

	"gatehouse/events"
)

// said is the data of a message about a connection. It never holds a token.
type said struct {
	Account string   `json:"account"`
	Status  string   `json:"status"`
	Reason  string   `json:"reason,omitempty"`
	Scopes  []string `json:"scopes"`
	Missing []string `json:"missing_scopes"`
}

// say reports a status in the same commit as the change to it.
func (k *Keeper) say(tx *events.Tx, account, status, reason string, scopes []string) error {
	missing := Missing(scopes, k.wanted)
	if status == StatusDisconnected { // nothing is granted, and nothing is asked
		missing = nil
	}
	data, err := json.Marshal(said{account, status, reason, list(scopes), list(missing)})
	if err != nil {
		return err
	}
	encoded, err := events.NewMessage(events.ConnectionTopic(account, status), k.now(), data).Encode()
	if err != nil {
		return err
	}
	tx.Append(encoded)
	return nil
}

// activated says that a connection is active and lets others act in the same commit.
func (k *Keeper) activated(ctx context.Context, tx *events.Tx, account string, scopes []string) error {
	if err := k.say(tx, account, StatusActive, "", scopes); err != nil {
		return err
	}
	if k.OnActive == nil {
		return nil
	}
	return k.OnActive(ctx, tx, account)
}

// list makes an absent list an empty one, for JSON.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
