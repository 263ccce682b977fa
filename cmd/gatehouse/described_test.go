package main_test

import (
	"net/http"

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

// probe keeps no connections, which a killed gateway would leave behind.
var probe = &http.Client{Transport: &webtest.Transport{API: described, Next: &http.Transport{DisableKeepAlives: true}}}
