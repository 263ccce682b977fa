package main_test

import (
	"net/http"
	"testing"
)

// With an admin listener the public one has no API, whatever key is sent; both stop with the gateway.
func TestTheAdminListenerTakesTheAPIAway(t *testing.T) {
	admin := freeAddr(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_ADMIN_ADDR": admin}).start()
	for path, want := range map[string]int{"/v1/messages": 404, "/v1/connections": 404, "/oauth/start/x": 404, "/livez": 200} {
		a := g.call(http.MethodGet, path, "")
		if a.status != want {
			t.Errorf("public %s: %d, want %d", path, a.status, want)
		}
		if html := a.header.Get("Content-Type") != "application/problem+json"; want == 404 && html != (path == "/oauth/start/x") {
			t.Errorf("public %s: %s", path, a.header.Get("Content-Type"))
		}
	}
	if status, _, err := post(t.Context(), probe, g.url, newLoad().webhook().body); status != http.StatusOK || err != nil {
		t.Errorf("a webhook: %d %v", status, err)
	}
	public := g.url
	g.url = "http://" + admin
	for path, want := range map[string]int{"/v1/messages": 200, "/v1/connections": 200, "/oauth/start/x": 404, "/readyz": 200, "/webhooks/doorflow": 404} {
		if a := g.call(http.MethodGet, path, ""); a.status != want {
			t.Errorf("admin %s: %d, want %d", path, a.status, want)
		}
	}
	g.url = public
	g.stop()
}
