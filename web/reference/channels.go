package reference

import (
	"slices"
	"strings"
)

// channels are the groups of what goes over NATS, by the second token of the subject.
func channels(root place) (groups []Group) {
	replies := map[string][]Message{}
	about := map[string]place{}
	root.at("operations").each(func(_ string, op place) {
		id := op.at("channel").called
		about[id] = op
		for _, m := range op.at("reply", "messages").items() {
			replies[id] = append(replies[id], message(m.called, m))
		}
	})
	root.at("channels").each(func(id string, c place) {
		subject := c.at("address").text()
		tokens := strings.Split(subject, ".")
		if len(tokens) < 2 {
			return // the inbox: its messages stand with what they answer
		}
		i := slices.IndexFunc(groups, func(g Group) bool { return g.Name == tokens[1] })
		if i < 0 {
			i, groups = len(groups), append(groups, Group{Name: tokens[1], About: aboutKind[tokens[1]]})
		}
		op := about[id]
		channel := Channel{
			ID: id, Subject: subject, Title: c.at("title").text(), Summary: op.at("summary").text(), Asked: op.at("action").text() == "send", Replies: replies[id],
			About: strings.TrimSpace(c.at("description").text() + "\n\n" + op.at("description").text()),
		}
		c.at("parameters").each(func(name string, p place) {
			f := Field{Name: name, Type: "token", Required: true, About: p.at("description").text()}
			if choices := p.at("enum").texts(); len(choices) > 0 {
				f.Rules = []string{"`" + strings.Join(choices, "`, `") + "`"}
			} else if examples := p.at("examples").texts(); len(examples) > 0 {
				f.Rules = []string{"such as `" + strings.Join(examples, "`, `") + "`"}
			}
			channel.Parameters = append(channel.Parameters, f)
		})
		c.at("messages").each(func(name string, m place) { channel.Messages = append(channel.Messages, message(name, m)) })
		groups[i].Channels = append(groups[i].Channels, channel)
	})
	return groups
}

// aboutKind is said of groups in which one channel does not speak for the others.
var aboutKind = map[string]string{
	"command": "Have something done, also while the gateway is away.",
	"ask":     "Ask, and be answered.",
}

func message(name string, m place) Message {
	said := Message{Name: name, Title: m.at("title").text(), Summary: m.at("summary").text()}
	if h := m.at("headers"); h.there() {
		said.Headers = schemaOf(h).fields(0)
	}
	said.Body = Body{Kind: m.at("contentType").text(), Field: schemaOf(m.at("payload")).field("", false, 0)}
	for _, e := range m.at("examples").items() {
		said.Body.Examples = append(said.Body.Examples, e.at("payload").json())
	}
	return said
}
