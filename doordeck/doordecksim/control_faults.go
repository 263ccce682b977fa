package doordecksim

import (
	"net/http"
	"time"
)

// faultOrder is the body of POST /sim/faults. Which fields matter depends on the fault.
type faultOrder struct {
	Fault      string      `json:"fault"`
	Route      string      `json:"route"`
	N          int         `json:"n"`
	Status     int         `json:"status"`
	After      bool        `json:"after"`
	Header     http.Header `json:"header"`
	Body       string      `json:"body"`
	Duration   string      `json:"duration"`
	RetryAfter string      `json:"retry_after"`
	Style      string      `json:"style"` // of errors: object, sub_code, text or empty
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
			badRequest("duration is not one such as 90s").write(w, plainJSON)
			return
		}
	}
	if o.Status == 0 {
		o.Status = http.StatusInternalServerError
	}
	if problem := s.faults.apply(o, d); problem != "" {
		badRequest(problem).write(w, plainJSON)
		return
	}
	ok(struct{}{}).write(w, plainJSON)
}

var errorStyles = map[string]ErrorStyle{
	"object": ErrorsAsObject, "sub_code": ErrorsSubCode, "text": ErrorsAsText, "empty": ErrorsEmpty,
}

// apply switches by name and says what is wrong.
func (f *Faults) apply(o faultOrder, d time.Duration) (problem string) {
	inject := func(fault Fault) {
		fault.Route, fault.N, fault.After = o.Route, o.N, o.After
		if problem = fault.check(); problem == "" {
			f.Inject(fault)
		}
	}
	switches := map[string]func(){
		"reset": f.Reset,
		"fail":  func() { inject(Fault{Status: o.Status, Header: o.Header, Body: o.Body}) },
		"rate_limit": func() {
			fault := Fault{Status: http.StatusTooManyRequests}
			if o.RetryAfter != "" {
				fault.Header = http.Header{"Retry-After": {o.RetryAfter}}
			}
			inject(fault)
		},
		"cut":                func() { inject(Fault{Cut: true}) },
		"slow":               func() { inject(Fault{Delay: d}) },
		"demand_code":        func() { f.DemandCode(o.N) },
		"chain_life":         func() { f.ChainLife(o.N, d) },
		"omit_refresh_token": func() { f.OmitRefreshToken(o.N) },
		"share_status":       func() { f.ShareStatus(o.N, o.Status) },
		"decimals":           func() { f.Decimals(o.On) },
		"novelties":          func() { f.Novelties(o.On) },
		"telephone_echo":     func() { f.TelephoneEcho(o.On) },
		"clock_offset":       func() { f.ClockOffset(d) },
		"errors": func() {
			style, known := errorStyles[o.Style]
			if !known {
				problem = "style has to be object, sub_code, text or empty"
				return
			}
			f.Errors(style)
		},
	}
	change, known := switches[o.Fault]
	switch {
	case !known:
		return "there is no such fault"
	case o.Status < 200 || o.Status > 599: // net/http panics for others
		return "a status has to be 200 to 599"
	}
	change()
	return problem
}
