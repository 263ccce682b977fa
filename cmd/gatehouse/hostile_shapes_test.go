package main_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse/doorflow"
)

// each takes one request after the other.
func each(raws ...string) (n int, raw func(int) string) {
	return len(raws), func(i int) string { return raws[i] }
}

// line is a request without a body.
func line(request string, headers ...string) string {
	return request + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

// hook is a webhook with the headers given, and a Content-Length.
func hook(body string, headers ...string) string {
	return line("POST /webhooks/doorflow", append(headers, "Content-Length: "+strconv.Itoa(len(body)))...) + body
}

// proof are the headers that prove a body to be DoorFlow's.
func proof(body string) []string {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	return []string{"Timestamp: " + at, "Signature: " + doorflow.Sign([]byte(webhookSecret), at, []byte(body))}
}

func signed(body string) string { return hook(body, proof(body)...) }

// shapes of one kind, each request once or n times over.
func shapeOf(name string, times int, want []int, raws ...string) shape {
	n, raw := each(raws...)
	return shape{name: name, n: n * times, raw: func(i int) string { return raw(i % n) }, want: want}
}

const bearerAdmin = "Authorization: Bearer " + adminToken

// malformed is what is not HTTP, or hardly.
func malformed() []shape {
	big := strings.Repeat("x", 1<<20)
	var many strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&many, "A%d:x\r\n", i)
	}
	pipelined := shapeOf("pipelined", 3, []int{200}, strings.Repeat(line("GET /livez"), 20))
	pipelined.answers = 20
	half := shapeOf("half of a request", 5, []int{0, 400, 499},
		"G", "GET /livez", "GET /livez HTTP/1.1\r\nHost", "POST /webhooks/doorflow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort",
		"POST /webhooks/doorflow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort")
	half.half = true
	halfClosed := shapeOf("half-closed", 20, []int{200, 401, 499}, line("GET /livez"), hook("[]"))
	halfClosed.half = true
	return []shape{
		shapeOf("huge headers", 4, []int{431, 0}, line("GET /livez", "X: "+big), line("GET /"+big), line("GET /livez", big+": x")),
		shapeOf("thousands of headers", 10, []int{431}, line("GET /livez", many.String()+"B: y"), hook("[]", many.String()+"B: y"),
			line("GET /v1/messages", bearerAdmin, many.String()+"B: y")),
		shapeOf("broken headers", 4, []int{400, 0},
			line("GET /livez", "Bad Header: x"), line("GET /livez", "X\x00: y"), line("GET /livez", "X: a\x00b"), line("GET /livez", ": x"),
			line("GET /livez", "no colon"), "GET /livez HTTP/1.1\r\n\r\n", line("GET /livez", "Host: y"), "\x00\x01\x02\x03\r\n\r\n",
			"GET\r\n\r\n", " GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "GET  /livez HTTP/1.1\r\nHost: x\r\n\r\n", "GET /li vez HTTP/1.1\r\nHost: x\r\n\r\n",
			"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"+strings.Repeat("\x00\x01", 300)+"\r\n\r\n", "GET /livez\r\n\r\n"),
		shapeOf("other versions", 4, []int{505, 404}, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /livez HTTP/3.0\r\nHost: x\r\n\r\n", "GET /livez HTTP/9.9\r\nHost: x\r\n\r\n"),
		shapeOf("unknown transfer codings", 4, []int{501, 400},
			line("POST /webhooks/doorflow", "Transfer-Encoding: gzip")+"x", line("POST /webhooks/doorflow", "Transfer-Encoding: chunked, gzip")+"x",
			line("POST /webhooks/doorflow", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")+"0\r\n\r\n"),
		shapeOf("odd expectations", 4, []int{417}, line("POST /webhooks/doorflow", "Expect: a-miracle", "Content-Length: 2")+"[]"),
		pipelined, half, halfClosed,
	}
}

// webhookShapes come to the webhooks' route, unsigned, badly signed, and signed with nonsense inside.
func webhookShapes() []shape {
	const path = "POST /webhooks/doorflow"
	elements := func(element string, n int) string { return "[" + strings.Repeat(element+",", n-1) + element + "]" }
	full := func(from int) string { // as many notifications as may be sent at once
		var b strings.Builder
		for id := from; b.Len() < 1<<20-500; id++ {
			b.WriteString("," + notification(nowhere, "Fu11", strconv.Itoa(id), "Afull"+strconv.Itoa(id)))
		}
		return "[" + b.String()[1:] + "]"
	}
	chunk := func(body string, headers ...string) string {
		return line(path, append(headers, "Transfer-Encoding: chunked")...) + body
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	wrong := "Signature: " + strings.Repeat("0", 64)
	good := proof("[]")
	many, deep := elements("{}", 100_000), strings.Repeat("[", 500_000)
	odd := []string{
		"[1,null,true,\"x\",[],{}]", "{}", "[]", `[{"account_id":"*.>"}]`, `[{"account_id":"\u0000\u202e"}]`, `[{"account_id":{"a":1},"action":7}]`,
		`[{"account_id":"` + strings.Repeat("a", 10_000) + `"}]`, `[{"resource":"http://169.254.169.254/?ack_token=x"}]`, `[{"resource":"//[::1"}]`,
		`[{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}]`, "[{\"account_id\":\"\xff\xfe\"}]", `[{"n":1e999999}]`,
		`[{"a":1,"a":2,"account_id":"x","account_id":"y"}]`,
	}
	for i, body := range odd {
		odd[i] = signed(body)
	}
	return []shape{
		shapeOf("unsigned flood", 700, []int{401}, hook(`[{"action":"CREATE"}]`)),
		shapeOf("wrongly signed flood", 300, []int{401}, hook(`[{"action":"CREATE"}]`, "Timestamp: "+now, wrong)),
		shapeOf("large unsigned flood", 40, []int{401, 429}, hook(strings.Repeat("x", 1<<20), "Timestamp: "+now, wrong)),
		shapeOf("100,000 elements, unsigned", 10, []int{401, 429}, hook(many)),
		shapeOf("100,000 elements, signed", 10, []int{400, 429}, signed(many), signed(elements("1", 100_000))),
		shapeOf("a full MiB, signed", 1, []int{200, 429}, signed(full(910_000_000)), signed(elements("{}", 2000))),
		shapeOf("deep JSON, signed", 5, []int{400, 429}, signed(deep), signed(strings.Repeat(`{"a":`, 150_000)), signed("["+deep)),
		shapeOf("odd items, signed", 3, []int{200}, odd...),
		shapeOf("not JSON, signed", 3, []int{400}, signed(""), signed("\xff\xfe"), signed("x"), signed(`"x"`), signed("[{}"), signed("[{}]]"), signed("\xef\xbb\xbf[]")),
		shapeOf("too large", 5, []int{413, 0}, line(path, "Content-Length: 2000000")+"x", signed(strings.Repeat(" ", 1<<20)+"[]")),
		shapeOf("doubled and missing proofs", 5, []int{401},
			hook("[]", good[0], good[1], good[1]), hook("[]", good[0], good[0], good[1]), hook("[]", good[0]), hook("[]", good[1]),
			hook("[]", good[0], good[1]+", "+good[1][len("Signature: "):]), hook("[] ", good...),
			hook("[]", "Timestamp: -1", good[1]), hook("[]", "Timestamp: 99999999999999999999", good[1]), hook("[]", "Timestamp: \xff", "Signature: \xff"),
			hook("[]", "Timestamp: 1000000000", "Signature: "+doorflow.Sign([]byte(webhookSecret), "1000000000", []byte("[]"))),
			hook("[]", "Timestamp: 9999999999", "Signature: "+doorflow.Sign([]byte(webhookSecret), "9999999999", []byte("[]")))),
		shapeOf("lengths that disagree", 5, []int{400, 0},
			line(path, "Content-Length: 2", "Content-Length: 3")+"[]", line(path, "Content-Length: -1")+"[]", line(path, "Content-Length: 2x")+"[]",
			line(path, "Content-Length: 99999999999999999999")+"[]", line(path, "Content-Length: 0x2")+"[]"),
		shapeOf("chunked tricks", 3, []int{400, 401},
			chunk("fffffffffffffffff\r\nx"), chunk("-2\r\n[]\r\n0\r\n\r\n"), chunk("2;"+strings.Repeat("x", 8000)+"\r\n[]\r\n0\r\n\r\n"), chunk("zz\r\n"),
			chunk("2\r\n[]x0\r\n\r\n"), chunk("2\r\n[]\r\n0\r\n"+good[0]+"\r\n"+good[1]+"\r\n\r\n", "Trailer: Signature, Timestamp"),
			chunk("2\r\n[]\r\n0\r\n\r\n", "Content-Length: 7"), chunk(strings.Repeat("1\r\nx\r\n", 5000)+"0\r\n\r\n"), chunk("2\n[]\n0\n\n")),
		shapeOf("chunked and signed", 5, []int{200}, chunk("1\r\n[\r\n1;x=y\r\n]\r\n0\r\n\r\n", good...)),
	}
}

// apiShapes come to the other routes, with a key and without.
func apiShapes() []shape {
	body := func(b string) string {
		return line("POST /v1/connect-links", bearerAdmin, "Content-Type: application/json", "Content-Length: "+strconv.Itoa(len(b))) + b
	}
	var methods []string
	for _, method := range []string{"PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "FOO", "get", "OPTIONS"} {
		for _, path := range []string{"/livez", "/v1/messages", "/webhooks/doorflow", "/oauth/callback", "/"} {
			methods = append(methods, line(method+" "+path))
		}
	}
	return []shape{
		shapeOf("other methods", 2, []int{404, 405, 204}, methods...),
		shapeOf("odd URIs", 2, []int{404, 400},
			line("OPTIONS *"), line("GET *"), line("GET //evil.example/livez"), line("GET /../../etc/passwd"), line("GET /%2e%2e/livez"), line("GET /livez%2f.."),
			line("GET /%"), line("GET /%zz"), line("GET ?"), line("GET livez"), line("GET /livez\\..\\x"), line("GET /\xff\xfe"), line("GET /"+strings.Repeat("a/", 5000)),
			line("GET http://"), line("GET javascript:alert(1)"), line("GET /oauth/start/%00"), line("GET /oauth/start/"+strings.Repeat("a", 5000)),
			line("GET /oauth/callback?state="+strings.Repeat("s", 8000)+"&code=x"), line("GET /oauth/callback?state=%ff&code=%00"), line("GET /oauth/callback?%zz;&&=")),
		shapeOf("absolute URIs", 10, []int{200}, line("GET http://evil.example/livez"), line("GET https://x:y@evil.example:99999/livez")),
		shapeOf("odd paths with a key", 1, []int{404, 400},
			line("GET /v1/messages/%2e%2e", bearerAdmin), line("GET /v1/messages/a%2fb", bearerAdmin), line("GET /v1/messages/\xff", bearerAdmin),
			line("GET /v1/connections/%00", bearerAdmin), line("DELETE /v1/connections/..%2f..", bearerAdmin), line("GET /v1/connections/"+strings.Repeat("a", 9000), bearerAdmin),
			line("POST /v1/messages/"+strings.Repeat("%41", 80)+"/replay", bearerAdmin, "Content-Length: 0")),
		shapeOf("odd queries with a key", 1, []int{400},
			line("GET /v1/messages?limit=-1", bearerAdmin), line("GET /v1/messages?limit=99999999999999999999", bearerAdmin), line("GET /v1/messages?after="+strings.Repeat("A", 8000), bearerAdmin),
			line("GET /v1/messages?subject="+strings.Repeat("%3E.", 2000), bearerAdmin), line("GET /v1/messages?since=%ff", bearerAdmin), line("GET /v1/connections?after=%ff%00", bearerAdmin),
			line("GET /v1/messages/stream", bearerAdmin, "Last-Event-ID: "+strings.Repeat("A", 8000)), line("GET /v1/messages/stream", bearerAdmin, "Last-Event-ID: \xff\xfe")),
		shapeOf("odd bodies with a key", 1, []int{400, 413},
			body(strings.Repeat("[", 100_000)), body(`{"reference":`+strings.Repeat(`{"a":`, 3000)), body(`{"reference":1e999}`), body(`{"reference":"`+strings.Repeat("x", 15_000)+`"}`),
			body("\xff"), body("[]"), body("null1"), body(`{"unknown":1}`), body(`{} {}`), body(strings.Repeat(" ", 2<<20))),
		shapeOf("doubled and odd keys", 5, []int{401, 429},
			line("GET /v1/messages", bearerAdmin, bearerAdmin), line("GET /v1/messages", "Authorization: Bearer \xff\xfe"), line("GET /v1/messages", "Authorization: Bearer "+strings.Repeat("x", 12_000)),
			line("GET /v1/messages", "Authorization: Bearer"), line("GET /v1/messages", "Authorization: Basic "+adminToken), line("GET /v1/messages?access_token="+adminToken)),
		shapeOf("guesses", 60, []int{401, 429}, line("GET /v1/messages", "Authorization: Bearer gh_guess")),
		shapeOf("unknown paths", 150, []int{404, 429}, line("GET /wp-login.php")),
	}
}
