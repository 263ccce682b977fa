package reference

import "slices"

// Texts are what somebody may look for who looks for a request: also the names of what is sent and answered, and of what can
// go wrong.
func (r Request) Texts() []string {
	texts := append([]string{r.ID, r.Method + " " + r.Path, r.Summary, r.About}, r.Scopes...)
	texts = append(texts, names(r.Parameters)...)
	if r.Body != nil {
		texts = append(texts, names([]Field{r.Body.Field})...)
	}
	for _, a := range r.Answers {
		for _, b := range a.Bodies {
			texts = append(texts, names([]Field{b.Field})...)
		}
		for _, p := range a.Problems {
			texts = append(texts, p.Type)
		}
	}
	return texts
}

// Streams tells whether what is answered comes bit by bit.
func (r Request) Streams() bool {
	return slices.ContainsFunc(r.Answers, func(a Answer) bool {
		return slices.ContainsFunc(a.Bodies, func(b Body) bool { return b.Kind == "text/event-stream" || b.Kind == "application/x-ndjson" })
	})
}

// Texts are what somebody may look for who looks for a subject.
func (c Channel) Texts() []string {
	texts := append([]string{c.Subject, c.Title, c.Summary, c.About}, names(c.Parameters)...)
	for _, m := range slices.Concat(c.Messages, c.Replies) {
		texts = append(append(texts, m.Title, m.Summary), names([]Field{m.Body.Field})...)
	}
	return texts
}

// names are those of fields and of all that is in them.
func names(of []Field) (all []string) {
	for _, f := range of {
		all = append(append(append(all, f.Name), names(f.Fields)...), names(f.Choices)...)
	}
	return all
}
