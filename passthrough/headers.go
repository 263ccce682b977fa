package passthrough

import (
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"gatehouse/doorflow"
	"gatehouse/internal/invalid"
)

// AnsweredBy is the header that tells DoorFlow's answers, errors among them, from the gateway's own. Its
// value is then "doorflow".
const AnsweredBy = "Answered-By"

// forwarded are the headers of a request that go to DoorFlow.
var forwarded = []string{"Accept", "Accept-Language"}

// returned are the headers of an answer that come back: what the body is, where one stands in a list, and
// how fast one may go on. Of those that count pages DoorFlow's documents name two sets.
var returned = []string{
	"Content-Type", "Content-Encoding", "Content-Language",
	"Total", "Per-Page", "Page", "X-Total", "X-Total-Results", "X-Per-Page", "X-Page",
	"Retry-After", "Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset",
	"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset",
}

// requestHeader is what DoorFlow gets to see. Answers are asked for uncompressed, and net/http is kept from
// unpacking any: a small one could unpack to a large one.
func requestHeader(h http.Header) http.Header {
	out := http.Header{"User-Agent": {doorflow.UserAgent}, "Accept-Encoding": {"identity"}}
	copyHeaders(out, h, forwarded)
	return out
}

// checkContentType wants JSON, which is all that the API takes. A form could name another method than the
// one that was authorised and recorded.
func checkContentType(h http.Header) (string, error) {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || len(h.Values("Content-Type")) != 1 || (kind != "application/json" && !strings.HasSuffix(kind, "+json")) {
		return "", invalid.Field("Content-Type", "must be application/json for a request with a body")
	}
	return h.Get("Content-Type"), nil
}

// answerHeader puts what may come back of DoorFlow's headers into the gateway's answer.
func answerHeader(out, in http.Header, base *url.URL, account string) {
	copyHeaders(out, in, returned)
	if in.Get("Content-Type") == "" {
		out["Content-Type"] = nil // or net/http would guess
	}
	if link := ownLinks(strings.Join(in.Values("Link"), ", "), base, account); link != "" {
		out.Set("Link", link)
	}
	out.Set(AnsweredBy, "doorflow")
	// A page of DoorFlow's, should one come, must not act as one of the gateway's.
	out.Set("Content-Security-Policy", "default-src 'none'; sandbox")
}

func copyHeaders(out, in http.Header, names []string) {
	for _, name := range names {
		if values := in.Values(name); len(values) > 0 {
			out[name] = values
		}
	}
}

var linkTarget = regexp.MustCompile(`<[^<>]*>`)

// ownLinks makes the targets of a Link header (RFC 8288) lead through the gateway: a client that follows
// them sends its API key there. Where one leads anywhere but to the API there are no links at all.
func ownLinks(link string, base *url.URL, account string) string {
	api, path := base.Scheme+"://"+base.Host+strings.TrimSuffix(base.EscapedPath(), "/")+apiPrefix, strings.TrimSuffix(base.EscapedPath(), "/")+apiPrefix
	foreign := false
	link = linkTarget.ReplaceAllStringFunc(link, func(target string) string {
		rest, ours := strings.CutPrefix(target, "<"+api)
		if !ours {
			rest, ours = strings.CutPrefix(target, "<"+path)
		}
		foreign = foreign || !ours
		return "<" + routePrefix + url.PathEscape(account) + routeMiddle + apiPrefix + rest
	})
	if foreign {
		return ""
	}
	return link
}
