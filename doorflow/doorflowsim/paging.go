package doorflowsim

import (
	"net/http"
	"strconv"
)

// HeaderSet says which of the two documented sets of pagination headers a list carries.
type HeaderSet int

const (
	HeadersBoth  HeaderSet = iota
	HeadersPlain           // Total, Per-Page: the OpenAPI description
	HeadersX               // X-Total-Results, X-Per-Page, X-Page: an older article
	HeadersNone
)

// paging is how one list is cut into pages.
type paging struct {
	sizeName  string // per_page, or n for events
	size, max int
}

// paged answers one page of a list. Sizes out of range are clamped, nonsense is ignored.
func paged[T any](c *call, p paging, all []T) reply {
	size, page := p.size, 1
	if n, err := strconv.Atoi(c.query.Get(p.sizeName)); err == nil && n > 0 {
		size = min(n, p.max)
	}
	if limit := c.sim.faults.maxPage(); limit > 0 {
		size = min(size, limit)
	}
	if n, err := strconv.Atoi(c.query.Get("page")); err == nil && n > 0 {
		page = min(n, 1<<30)
	}
	if skip := c.query.Get("skip_pagination"); skip == "true" || skip == "1" {
		size, page = max(len(all), 1), 1
	}
	from := min((page-1)*size, len(all))
	items := all[from:min(from+size, len(all))]
	if items == nil {
		items = []T{} // an empty list is [], not null
	}
	header := http.Header{}
	set := c.sim.faults.headers()
	if set == HeadersBoth || set == HeadersPlain {
		header.Set("Total", strconv.Itoa(len(all)))
		header.Set("Per-Page", strconv.Itoa(size))
	}
	if set == HeadersBoth || set == HeadersX {
		header.Set("X-Total-Results", strconv.Itoa(len(all)))
		header.Set("X-Per-Page", strconv.Itoa(size))
		header.Set("X-Page", strconv.Itoa(page))
	}
	return reply{status: http.StatusOK, header: header, body: items}
}

// unpaged answers a list that DoorFlow does not cut.
func unpaged[T any](all []T) reply {
	if all == nil {
		all = []T{}
	}
	return ok(all)
}
