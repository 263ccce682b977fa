package dashboard

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/web"
	"gatehouse/wording"
)

//go:embed templates
var templateFiles embed.FS

// view is what a template sees.
type view struct {
	Title  string
	Caller web.Caller // the zero Caller where nobody is signed in
	In     bool
	// Open tells that the page is there for strangers too.
	Open  bool
	Theme string // light or dark, as chosen; "" follows the system
	Said  said
	// Wrong is why what a form asked for was refused, nil where nothing was.
	Wrong *web.Problem
	Menu  []menuItem
	Page  any
}

// May tells whether the caller's key has a scope.
func (v view) May(scope string) bool { return v.In && v.Caller.May(scope) }

// MayShare tells whether the caller's key may share doors, with users or with administrators of them.
func (v view) MayShare() bool { return v.May("operations:write") || v.May("operations:admin") }

// Held tells whether the caller is held to some accounts or identities, or to none at all.
func (v view) Held() bool { return v.Caller.Accounts != nil || v.Caller.Identities != nil }

// Whole tells whether the caller may see what belongs to no account, such as how much is going on.
func (v view) Whole() bool { return v.In && !v.Held() && v.Caller.May("messages:read") }

// Fault is what is wrong with one of a form's fields, "" where nothing is.
func (v view) Fault(field string) string {
	if v.Wrong == nil || v.Wrong.Field != field {
		return ""
	}
	return wording.Capital(v.Wrong.Detail) + "."
}

// Has tells whether a page is in the caller's menu.
func (v view) Has(path string) bool {
	return slices.ContainsFunc(v.Menu, func(m menuItem) bool { return m.Path == path })
}

type menuItem struct {
	Name, Path string
	Here       bool
}

// readTemplates gives each page a set of its own, so that all can call their content "main".
func (d *Dashboard) readTemplates() (map[string]*template.Template, error) {
	base, err := template.New("base.html").Funcs(d.functions()).ParseFS(templateFiles, "templates/base.html", "templates/shared.html", "templates/apishared.html", "templates/doordeck.html")
	if err != nil {
		return nil, fmt.Errorf("reading the dashboard's templates: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	sets := map[string]*template.Template{}
	for _, path := range names {
		name := strings.TrimSuffix(strings.TrimPrefix(path, "templates/"), ".html")
		set, err := base.Clone()
		if err == nil {
			set, err = set.ParseFS(templateFiles, path)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the dashboard's templates: %w", err)
		}
		sets[name] = set
	}
	return sets, nil
}

// show answers with a whole page.
func (d *Dashboard) show(c echo.Context, name, title string, page any) error {
	return d.render(c, http.StatusOK, name, "base", title, page)
}

// part answers with a piece of a page.
func (d *Dashboard) part(c echo.Context, name, piece string, page any) error {
	return d.render(c, http.StatusOK, name, piece, "", page)
}

func (d *Dashboard) render(c echo.Context, status int, name, piece, title string, page any) error {
	var buf bytes.Buffer
	if err := d.templates[name].ExecuteTemplate(&buf, piece, d.view(c, title, page)); err != nil {
		return fmt.Errorf("rendering %s of the page %s: %w", piece, name, err)
	}
	return c.HTMLBlob(status, buf.Bytes())
}

func (d *Dashboard) view(c echo.Context, title string, page any) view {
	v := view{Title: title, Said: words[c.QueryParam("said")], Page: page}
	v.Wrong, _ = c.Get(wrongKey).(*web.Problem)
	if cookie, err := c.Cookie("theme"); err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		v.Theme = cookie.Value
	}
	v.Caller, v.In = web.CallerFrom(c.Request().Context())
	for _, p := range d.pages() {
		v.Open = v.Open || p.Open && p.Path == c.Path()
		if !v.In || p.nav == "" || p.Scope != "" && !v.May(p.Scope) {
			continue
		}
		path := c.Path()
		here := path == p.Path || p.Path != "/" && strings.HasPrefix(path, p.Path+"/") || p.Path == "/connections" && strings.HasPrefix(path, "/connect") || p.Path == "/endpoints" && strings.HasPrefix(path, "/deliveries/") ||
			p.Path == "/identities" && path == "/register"
		v.Menu = append(v.Menu, menuItem{p.nav, p.Path, here})
	}
	return v
}
