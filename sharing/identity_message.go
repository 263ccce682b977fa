package sharing

import (
	"encoding/json"
	"time"

	"gatehouse/events"
)

// said is the data of a message about an identity. It holds no address, key or code.
type said struct {
	Identity string `json:"identity"`
	Status   string `json:"status"`
	Reason   string `json:"reason,omitempty"`
	Detail   string `json:"detail,omitempty"`
	User     string `json:"user,omitempty"`
	// ServesUntil is how long the identity may act, whatever its status.
	ServesUntil time.Time `json:"serves_until,omitzero"`
}

// say is the message of what has become of a row: its status, or another word for it.
func (i *Identities) say(r *row, what string) (events.Encoded, error) {
	data, err := json.Marshal(said{r.Name, r.Status, r.Reason, r.Detail, r.UserID, when(r.ServesUntil)})
	if err != nil {
		return events.Encoded{}, err
	}
	return events.NewMessage(events.IdentityTopic(r.Name, what), i.now(), data).Encode()
}
