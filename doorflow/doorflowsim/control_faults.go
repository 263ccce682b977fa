package doorflowsim

import (
	"net/http"
	"time"
)

// faultOrder is the body of POST /sim/faults. Which fields matter depends on the fault.
type faultOrder struct {
	Fault      string      `json:"fault"`
	N          int         `json:"n"`
	Status     int         `json:"status"`
	Body       string      `json:"body"`
	Header     http.Header `json:"header"`
	Duration   string      `json:"duration"`
	Name       string      `json:"name"` // of a header, a host or a resource type
	RetryAfter string      `json:"retry_after"`
	RetryIn    int         `json:"retry_in"`
	On         bool        `json:"on"`
}

func (s *Sim) controlFaults(w http.ResponseWriter, r *http.Request) {
	var o faultOrder
	if !read(w, r, &o) {
		return
	}
	var d time.Duration
	if o.Duration != "" {
		var err error
		if d, err = time.ParseDuration(o.Duration); err != nil {
			fail(http.StatusBadRequest, "bad_request", "duration is not one such as 90s").write(w)
			return
		}
	}
	// net/http panics for what is not a status.
	if o.Status != 0 && (o.Status < 200 || o.Status > 599) {
		fail(http.StatusBadRequest, "bad_request", "status must be 200 to 599").write(w)
		return
	}
	if o.Status == 0 {
		o.Status = http.StatusInternalServerError
	}
	if !s.faults.apply(o, d) {
		fail(http.StatusNotFound, "not_found", "there is no such fault").write(w)
		return
	}
	done().write(w)
}

// apply switches by name; false for an unknown one.
func (f *Faults) apply(o faultOrder, d time.Duration) bool {
	switches := map[string]func(){
		"reset":              f.Reset,
		"fail_token":         func() { f.FailToken(o.N, o.Status, o.Body) },
		"drop_token_reply":   func() { f.DropTokenReply(o.N) },
		"slow_token":         func() { f.SlowToken(d) },
		"fail_api":           func() { f.FailAPI(o.N, o.Status, o.Header, o.Body) },
		"rate_limit_api":     func() { f.RateLimitAPI(o.N, o.RetryAfter, o.RetryIn) },
		"slow_api":           func() { f.SlowAPI(d) },
		"stall_admissions":   func() { f.StallAdmissions(o.N) },
		"page_limit":         func() { f.PageLimit(o.N) },
		"refuse_event_codes": func() { f.RefuseEventCodes(o.N) },
		"busy_pages":         func() { f.BusyPages(o.N, d) },
		"integer_account_id": func() { f.IntegerAccountID(o.On) },
		"headers_both":       func() { f.PaginationHeaders(HeadersBoth) },
		"headers_plain":      func() { f.PaginationHeaders(HeadersPlain) },
		"headers_x":          func() { f.PaginationHeaders(HeadersX) },
		"headers_none":       func() { f.PaginationHeaders(HeadersNone) },
		"duplicate":          func() { f.Duplicate(o.N) },
		"reorder":            func() { f.Reorder(o.N) },
		"batch":              func() { f.Batch(o.N) },
		"stale_timestamp":    func() { f.StaleTimestamp(o.N, d) },
		"wrong_key":          func() { f.WrongKey(o.N) },
		"upper_hex":          func() { f.UpperHex(o.N) },
		"drop_header":        func() { f.DropHeader(o.N, o.Name) },
		"escape_ampersand":   func() { f.EscapeAmpersand(o.N) },
		"single_object":      func() { f.SingleObject(o.N) },
		"foreign_host":       func() { f.ForeignHost(o.N, o.Name) },
		"unknown_type":       func() { f.UnknownType(o.N, o.Name) },
		"destroy":            func() { f.Destroy(o.N) },
	}
	change, known := switches[o.Fault]
	if known {
		change()
	}
	return known
}
