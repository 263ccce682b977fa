package doorflowsim

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// FailToken answers the next n token requests with a status and a body, without processing them.
func (f *Faults) FailToken(n int, status int, body string) {
	f.set(func() { f.token = canned{n: times(n), status: status, body: body} })
}

// DropTokenReply processes the next n token requests, rotating the token, and closes the connection instead
// of answering.
func (f *Faults) DropTokenReply(n int) { f.set(func() { f.dropReply = times(n) }) }

// FailAPI answers the next n API requests with a valid token. headers may be nil.
func (f *Faults) FailAPI(n int, status int, headers http.Header, body string) {
	f.set(func() { f.api = canned{n: times(n), status: status, header: headers.Clone(), body: body} })
}

// FailOnly has FailAPI and RateLimitAPI count and answer only requests whose path begins so: a gateway asks in the background
// too, and would take the answer that was meant for another request. "" is all of them.
func (f *Faults) FailOnly(prefix string) { f.set(func() { f.apiPaths = prefix }) }

// RateLimitAPI answers the next n API requests with 429. retryAfter is the header's value, "" for none;
// retryIn is the body's field, 0 for none.
func (f *Faults) RateLimitAPI(n int, retryAfter string, retryIn int) {
	header := http.Header{}
	if retryAfter != "" {
		header.Set("Retry-After", retryAfter)
	}
	body := `{"error":"rate_limited","description":"Too many requests"`
	if retryIn > 0 {
		body += `,"retry_in":` + strconv.Itoa(retryIn)
	}
	f.FailAPI(n, http.StatusTooManyRequests, header, body+"}")
}

// SlowAPI delays every API request, after its token was checked. 0 ends it.
func (f *Faults) SlowAPI(d time.Duration) { f.set(func() { f.slowAPI = d }) }

// SlowToken delays every token request, before it is processed. 0 ends it.
func (f *Faults) SlowToken(d time.Duration) { f.set(func() { f.slowToken = d }) }

// StallAdmissions leaves the next n admission requests pending until they time out.
func (f *Faults) StallAdmissions(n int) { f.set(func() { f.stall = times(n) }) }

// PaginationHeaders chooses between the two documented sets.
func (f *Faults) PaginationHeaders(set HeaderSet) { f.set(func() { f.page = set }) }

// PageLimit puts at most n on a page of any list, whatever is asked and whatever the headers say. 0 ends it.
func (f *Faults) PageLimit(n int) { f.set(func() { f.pageLimit = n }) }

// RefuseEventCodes answers the next n lists of events that name event codes with 400, as for unknown ones.
func (f *Faults) RefuseEventCodes(n int) { f.set(func() { f.noCodes = times(n) }) }

// BusyPages lets something happen after each of the next n pages of events: an event without a webhook that
// a door uploads late, as long after it happened as age says.
func (f *Faults) BusyPages(n int, age time.Duration) {
	f.set(func() { f.busyPages, f.busyAge = times(n), age })
}

// IntegerAccountID shows the account's id as a number, as an older article does.
func (f *Faults) IntegerAccountID(on bool) { f.set(func() { f.integerID = on }) }

// failToken is the answer to give instead of processing a token request, or nil.
func (f *Faults) failToken() *canned {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.token.take()
}

func (f *Faults) failAPI(path string) *canned {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.HasPrefix(path, f.apiPaths) {
		return nil
	}
	return f.api.take()
}

func (c *canned) take() *canned {
	if !c.n.take() {
		return nil
	}
	return new(*c)
}

func (f *Faults) dropTokenReply() bool { return f.takes(&f.dropReply) }

func (f *Faults) stallAdmission() bool { return f.takes(&f.stall) }

func (f *Faults) refusesCodes() bool { return f.takes(&f.noCodes) }

func (f *Faults) busyPage() (age time.Duration, busy bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.busyAge, f.busyPages.take()
}

func (f *Faults) maxPage() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pageLimit
}

func (f *Faults) takes(t *times) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return t.take()
}

func (f *Faults) tokenDelay() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slowToken
}

func (f *Faults) apiDelay() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.slowAPI
}

func (f *Faults) headers() HeaderSet {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.page
}

func (f *Faults) integerAccountID() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.integerID
}
