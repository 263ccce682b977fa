package doorflowsim

import (
	"bytes"
	"encoding/json"
)

// notification is one item as it is sent. The order of the fields is that of DoorFlow's own fixtures.
type notification struct {
	Action       string `json:"action"`
	Resource     string `json:"resource"`
	ResourceURL  string `json:"resource_url,omitempty"`
	ResourceType string `json:"resource_type"`
	ResourceID   string `json:"resource_id"`
	AccountID    string `json:"account_id"`
	AckToken     string `json:"ack_token"`
}

// webhookBody writes the items, misshapen as the faults have it. There is no newline at the end.
func (s *Sim) webhookBody(items []*item) ([]byte, error) {
	f := s.faults.forBody()
	var list []notification
	for _, i := range items {
		if f.destroy {
			i.action, i.gone = actionDestroy, true
		}
		n := notification{
			Action: i.action, Resource: s.origin() + i.path + "?ack_token=" + i.ack,
			ResourceType: i.kind, ResourceID: i.id, AccountID: i.account, AckToken: i.ack,
		}
		if f.foreignHost != "" {
			n.Resource = "https://" + f.foreignHost + i.path + "?ack_token=" + i.ack
		}
		if f.escape {
			n.Resource += "&callback=" + hashID(6) // or there would be nothing to escape
		}
		if f.unknownType != "" {
			n.ResourceType = f.unknownType
		}
		if s.o.AddResourceURL {
			n.ResourceURL = n.Resource
		}
		list = append(list, n)
	}
	if f.single && len(list) == 1 {
		return encode(list[0], f.escape)
	}
	return encode(list, f.escape)
}

func encode(v any, escape bool) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escape)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
