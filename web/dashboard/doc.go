// Package dashboard is what people see of the gateway in a browser: pages made by html/template, one stylesheet, one
// script, and htmx. There is no build step, and nothing is loaded from elsewhere.
//
// It owns no table and no rule. Who is signed in and what they may do is decided by package web, exactly as for a program
// with the same key; what a page shows and does comes from the handlers of the domain packages, which hold it to the
// caller's accounts and identities. The figures of the last hour (Pulse) are kept in memory: a restart begins them anew,
// and the page says so. Nothing else can be lost by a crash.
//
// # To add a page
//
//  1. A row in Pages (dashboard.go): method, path, and the scope that the same thing needs below /v1. With Nav it has a
//     place in the menu, for those whose key has that scope.
//  2. A handler in a file named after the page. It asks a domain handler (`d.Messages.Page(c, …)`), fills a struct of
//     its own and returns d.show(c, "name", "Title", data), or d.part for a piece that htmx swaps in. Errors are returned
//     as they are: problem.go of web chooses the status, and they are shown as a page.
//  3. templates/name.html, which defines "main" and the pieces. It sees a view: {{.Page}} is the struct, {{if .May
//     "area:verb"}} hides what the key may not do. Times are written by {{time .At}}, never by hand.
//  4. A form that is refused is shown again as it was filled in: return d.again(c, err, …). {{template "refused" .}} stands
//     on top of it and {{.Fault "field"}} beside a field. A secret is shown in the answer to the POST that made it, by
//     {{template "secret" …}}, and never in an address or after a redirect.
//  5. An action is a POST by a form. When done it redirects to a page with ?said=word, and words in said.go are what
//     is then shown. It needs no token against forgery: requests of other sites are refused by package web.
//  6. A row in the pages table of cmd/gatehouse/pages_test.go: each is walked with every scope and as two tenants, and timed
//     with a long history. dashboard_test.go opens it in a browser, light, dark and narrow, and has axe look at it.
//
// What needs a person is a function in needs.go; what flows is a station in flow.go, drawn by picture.go. The pages at /api
// are made from openapi.yaml and asyncapi.yaml (package reference), which are open to all, and so are they. No style and no script may stand in a
// page: the Content-Security-Policy forbids it.
package dashboard
