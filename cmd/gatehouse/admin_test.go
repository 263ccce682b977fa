package main_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// Both listeners speak https when the gateway is given a certificate; the operators' one never does.
func TestTheGatewaySpeaksHTTPS(t *testing.T) {
	model := httptest.NewTLSServer(nil)
	defer model.Close()
	pair := model.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"GATEHOUSE_TLS_CERT_FILE": certFile, "GATEHOUSE_TLS_KEY_FILE": certFile}
	newGateway(t, env).fails(t, 1, "GATEHOUSE_TLS_CERT_FILE", "GATEHOUSE_TLS_KEY_FILE")

	client := model.Client()
	transport := client.Transport.(*http.Transport).Clone()
	transport.DisableKeepAlives, transport.TLSClientConfig.ServerName = true, "example.com" // the model's name
	before := probe.Transport
	probe.Transport = transport
	t.Cleanup(func() { probe.Transport = before })
	env["GATEHOUSE_TLS_KEY_FILE"], env["GATEHOUSE_ADMIN_ADDR"] = keyFile, freeAddr(t)
	g := newGateway(t, env)
	g.url = "https://" + g.addr
	g.start()
	for _, url := range []string{g.url + "/livez", "https://" + env["GATEHOUSE_ADMIN_ADDR"] + "/livez", "http://" + g.ops + "/livez"} {
		get(t, url)
	}
	resp, err := probe.Get("http://" + g.addr + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("http to the https listener: %d", resp.StatusCode)
	}
	g.stop()
}
