package main_test

import (
	"net/http"
	"time"

	"gatehouse/web/webtest"
)

// described is the description of the API, against which every exchange of these tests is held.
var described = func() *webtest.API {
	api, err := webtest.OpenAPI("../../web/openapi.yaml")
	if err != nil {
		panic(err)
	}
	return api
}()

// probe keeps no connections, which a killed gateway would leave behind. With Expect: 100-continue it waits for an answer
// before it sends a body: one that is refused unread ends with a reset, and the answer may be lost.
var probe = &http.Client{Transport: &webtest.Transport{
	API: described, Next: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: 10 * time.Second},
}}
