package dashboard

import (
	"html/template"
	"regexp"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/web/reference"
	"gatehouse/wording"
)

// The pages that show openapi.yaml and asyncapi.yaml. Both documents are served to everybody, and so are these.

type apiPage struct {
	*reference.Reference
	// Query is what is looked for, and Found how many requests and subjects have it.
	Query string
	Found int
}

type apiGroupPage struct {
	reference.Group
	Title string
}

// api is GET /api: everything there is, by its headings.
func (d *Dashboard) api(c echo.Context) error {
	all, err := d.reference()
	if err != nil {
		return err
	}
	page := apiPage{Reference: all, Query: strings.TrimSpace(c.QueryParam("q"))}
	if page.Query != "" {
		found := *all
		found.Requests, found.Messages = matching(all.Requests, page.Query), matching(all.Messages, page.Query)
		page.Reference = &found
	}
	for _, g := range slices.Concat(page.Requests, page.Messages) {
		page.Found += len(g.Requests) + len(g.Channels)
	}
	return d.show(c, "api", "API", page)
}

// matching leaves what has each word of a query somewhere.
func matching(groups []reference.Group, query string) (left []reference.Group) {
	words := strings.Fields(strings.ToLower(query))
	lacks := func(texts ...string) bool {
		text := strings.ToLower(strings.Join(texts, "\n"))
		return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
	}
	for _, g := range groups {
		g.Requests = slices.DeleteFunc(slices.Clone(g.Requests), func(r reference.Request) bool {
			return lacks(append(r.Texts(), g.Name)...)
		})
		g.Channels = slices.DeleteFunc(slices.Clone(g.Channels), func(ch reference.Channel) bool {
			return lacks(ch.Texts()...)
		})
		if len(g.Requests)+len(g.Channels) > 0 {
			left = append(left, g)
		}
	}
	return left
}

// apiRequests is GET /api/http/:group: the requests of a group in full.
func (d *Dashboard) apiRequests(c echo.Context) error {
	all, err := d.reference()
	if err != nil {
		return err
	}
	return d.apiGroup(c, all.Requests, "apirequests")
}

// apiMessages is GET /api/nats/:group: the subjects of a group in full.
func (d *Dashboard) apiMessages(c echo.Context) error {
	all, err := d.reference()
	if err != nil {
		return err
	}
	return d.apiGroup(c, all.Messages, "apimessages")
}

func (d *Dashboard) apiGroup(c echo.Context, groups []reference.Group, name string) error {
	i := slices.IndexFunc(groups, func(g reference.Group) bool { return g.Name == c.Param("group") })
	if i < 0 {
		return echo.ErrNotFound
	}
	title := groupTitle(groups[i].Name)
	return d.show(c, name, title, apiGroupPage{groups[i], title})
}

// apiProblems is GET /api/problems: every kind of error.
func (d *Dashboard) apiProblems(c echo.Context) error {
	all, err := d.reference()
	if err != nil {
		return err
	}
	return d.show(c, "apiproblems", "Problems", all.Problems)
}

// groupTitle is how a group's name is written above it.
func groupTitle(name string) string {
	switch name {
	case "api-keys":
		return "API keys"
	case "doorflow":
		return "DoorFlow"
	case "nats":
		return "NATS credentials"
	}
	return wording.Capital(name)
}

var inCode = regexp.MustCompile("`[^`]+`")

// prose writes a text of the descriptions: paragraphs with `code` in them.
func prose(text string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if strings.TrimSpace(paragraph) != "" {
			b.WriteString("<p>" + coded(paragraph) + "</p>\n")
		}
	}
	return template.HTML(b.String())
}

// line is prose of one line.
func line(text string) template.HTML { return template.HTML(coded(text)) }

func coded(text string) string {
	return inCode.ReplaceAllStringFunc(template.HTMLEscapeString(text), func(s string) string { return "<code>" + strings.Trim(s, "`") + "</code>" })
}

// colourText is an example: JSON in colours, anything else as it is.
func colourText(text string) template.HTML { return colour([]byte(text)) }

// curl is a request as it is typed into a shell.
func curl(r reference.Request) string {
	var b strings.Builder
	b.WriteString("curl")
	if r.Streams() {
		b.WriteString(" -N")
	}
	if r.Method != "GET" {
		b.WriteString(" -X " + r.Method)
	}
	if len(r.Scopes) > 0 {
		b.WriteString(` -H "Authorization: Bearer $GATEHOUSE_TOKEN"`)
	}
	for _, h := range r.Headers {
		b.WriteString(" -H " + quoted(h))
	}
	b.WriteString(` "$GATEHOUSE_URL` + r.Try + `"`)
	if r.Body != nil && r.Body.Kind == "application/json" && len(r.Body.Examples) > 0 {
		b.WriteString(" \\\n  -H 'Content-Type: application/json' \\\n  -d " + quoted(r.Body.Examples[0]))
	}
	return b.String()
}

// quoted is a text that a shell takes as it is.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
