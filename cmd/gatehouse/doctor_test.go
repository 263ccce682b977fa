package main_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

// diagnosis is what doctor finds, by check.
type diagnosis map[string]struct{ Check, Status, Detail, Fix string }

// diagnose runs doctor with the gateway's configuration. Its exit code must agree with what it finds.
func diagnose(t *testing.T, env map[string]string) diagnosis {
	t.Helper()
	code, stdout, stderr := command(t, env, "doctor", "--json")
	var report struct {
		Checks []struct{ Check, Status, Detail, Fix string }
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	d, failed := diagnosis{}, 0
	for _, c := range report.Checks {
		d[c.Check] = c
		if c.Status == "fail" {
			failed = 1
		}
		if (c.Status == "fail" || c.Status == "warn") && c.Fix == "" {
			t.Errorf("%s: %s does not say what to do", c.Check, c.Detail)
		}
	}
	if code != failed {
		t.Errorf("exit code %d, %v", code, d)
	}
	return d
}

func (d diagnosis) wants(t *testing.T, check, status, text string) {
	t.Helper()
	if c, ok := d[check]; !ok || c.Status != status || !strings.Contains(c.Detail+" → "+c.Fix, text) {
		t.Errorf("%s: want %s with %q, got %+v", check, status, text, c)
	}
}

func TestDoctorBesideAGateway(t *testing.T) {
	g := newGateway(t, nil)
	df := newCloud(t, g)
	before := diagnose(t, g.env)
	before.wants(t, "running gateway", "off", g.addr)
	before.wants(t, "listeners", "ok", "free")
	if _, err := os.Stat(g.data); err == nil {
		t.Error("doctor made the data directory")
	}
	g.start()
	d := diagnose(t, g.env)
	for check, status := range map[string]string{
		"data directory": "ok", "disk": "ok", "database": "off", "key set": "off", "listeners": "off", "NATS": "ok",
		"DoorFlow: DNS": "off", "DoorFlow: API": "ok", "clock": "ok", "OAuth application": "ok", "redirect URI": "warn",
		"webhook secret": "ok", "running gateway": "ok", "public name": "off", "public URL": "ok", "webhook URL": "ok", "webhooks": "off",
	} {
		d.wants(t, check, status, "")
	}
	if code, out, said := command(t, g.env, "migrate", "status"); code != 0 || strings.Contains(out, "pending") || !strings.Contains(out, "VERSION") {
		t.Errorf("migrate status beside a gateway: %d %s %s", code, out, said)
	}
	for name, dir := range map[string]string{"none": filepath.Join(t.TempDir(), "none"), "an empty one": t.TempDir()} {
		mistaken := maps.Clone(g.env)
		mistaken["GATEHOUSE_DATA_DIR"] = dir
		t.Run("another data directory: "+name, func(t *testing.T) {
			diagnose(t, mistaken).wants(t, "listeners", "fail", "another data directory")
		})
	}
	other := maps.Clone(g.env)
	other["GATEHOUSE_DOORFLOW_WEBHOOK_SECRETS"] = "another-secret-1234"
	df.connected(g)
	odd := diagnose(t, other)
	odd.wants(t, "webhook URL", "fail", "401")
	odd.wants(t, "webhooks", "warn", "none has come yet")
	g.stop()
	after := diagnose(t, g.env)
	after.wants(t, "database", "ok", "schema up to date")
	after.wants(t, "key set", "ok", "fits")
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	g := newGateway(t, nil)
	df := newCloud(t, g)
	g.start()
	g.stop()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	other := newGateway(t, nil)
	other.start()
	other.stop()
	for _, row := range []struct {
		name                string
		env                 map[string]string
		check, status, text string
	}{
		{"the client secret", map[string]string{"GATEHOUSE_DOORFLOW_CLIENT_SECRET": "another-secret-1234"}, "OAuth application", "fail", "does not accept"},
		{"the redirect URI", map[string]string{"GATEHOUSE_PUBLIC_URL": "https://elsewhere.example.com"}, "redirect URI", "fail", "https://elsewhere.example.com/oauth/callback"},
		{"a public URL inside", map[string]string{"GATEHOUSE_PUBLIC_URL": "https://10.1.2.3"}, "public name", "warn", "not a public address"},
		{"a public URL of nobody", map[string]string{"GATEHOUSE_PUBLIC_URL": "https://gatehouse.invalid"}, "public name", "fail", "gatehouse.invalid"},
		{"DNS", map[string]string{"GATEHOUSE_DOORFLOW_API_URL": "https://doorflow.invalid"}, "DoorFlow: DNS", "fail", "doorflow.invalid"},
		{"the certificate of the API", map[string]string{"GATEHOUSE_DOORFLOW_API_URL": untrusted(t)}, "DoorFlow: TLS", "fail", "certificate"},
		{"an API behind that", map[string]string{"GATEHOUSE_DOORFLOW_API_URL": untrusted(t)}, "DoorFlow: API", "off", "see TLS"},
		{"an API by a proxy", map[string]string{"GATEHOUSE_DOORFLOW_API_URL": "https://doorflow.invalid", "HTTPS_PROXY": "http://" + freeAddr(t)}, "DoorFlow: DNS", "off", "the proxy"},
		{"nothing at the API's address", map[string]string{"GATEHOUSE_DOORFLOW_API_URL": "http://" + freeAddr(t)}, "DoorFlow: API", "fail", "refused"},
		{"an API elsewhere", map[string]string{"GATEHOUSE_DOORFLOW_API_URL": redirecting(t)}, "DoorFlow: API", "warn", "401 was expected"},
		{"a clock ten minutes fast", map[string]string{"GATEHOUSE_DOORFLOW_API_URL": lagging(t, df.url, 10*time.Minute)}, "clock", "fail", "ahead of"},
		{"a clock a minute slow", map[string]string{"GATEHOUSE_DOORFLOW_API_URL": lagging(t, df.url, -time.Minute)}, "clock", "warn", "behind"},
		{"a port", map[string]string{"GATEHOUSE_OPS_ADDR": taken.Addr().String()}, "listeners", "fail", "GATEHOUSE_OPS_ADDR"},
		{"the key set", map[string]string{"GATEHOUSE_KEYSET_FILE": filepath.Join(other.data, "keyset.json")}, "key set", "fail", "not the one"},
		{"a file in the directory's place", map[string]string{"GATEHOUSE_DATA_DIR": g.logs}, "data directory", "fail", "not a directory"},
		{"an expired certificate", certificate(t, "gw.example.com", -time.Hour), "TLS certificate", "fail", "expired"},
		{"a certificate that ends soon", certificate(t, "gw.example.com", 24*time.Hour), "TLS certificate", "warn", "renew"},
		{"no certificates for endpoints", map[string]string{"GATEHOUSE_EGRESS_CA_FILE": os.DevNull}, "egress", "fail", "GATEHOUSE_EGRESS_CA_FILE"},
		{"networks for endpoints", map[string]string{"GATEHOUSE_EGRESS_ALLOW": "10.20.0.0/16,fd00::/8"}, "egress", "ok", "10.20.0.0/16 fd00::/8"},
		{"a client certificate that ends soon", clientCertificate(certificate(t, "gw", 24*time.Hour)), "egress", "warn", "the client certificate: ends on"},
		{"another host's certificate", certificate(t, "other.example.com", 1000*time.Hour), "TLS certificate", "fail", "GATEHOUSE_PUBLIC_URL"},
	} {
		t.Run(row.name, func(t *testing.T) {
			env := maps.Clone(g.env)
			maps.Copy(env, row.env)
			diagnose(t, env).wants(t, row.check, row.status, row.text)
		})
	}
}

// A database of before the keys had names is told from a wrong one, and neither gets anything written.
func TestDoctorLooksAtADatabaseAndLeavesItAlone(t *testing.T) {
	g := newGateway(t, nil)
	g.start()
	g.stop()
	change := func(query string) {
		t.Helper()
		db, err := sqldb.Open(t.Context(), "", g.data)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Writer().ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	rows := func() (n int) {
		t.Helper()
		db, err := sqldb.Open(t.Context(), "", g.data)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Get(t.Context(), &n, `SELECT (SELECT COUNT(*) FROM vault_keys) + (SELECT COUNT(*) FROM vault_secrets)`); err != nil {
			t.Fatal(err)
		}
		return n
	}
	change(`DELETE FROM vault_keys`) // migrated, and never started since
	change(`DELETE FROM vault_secrets WHERE name <> 'canary'`)
	diagnose(t, g.env).wants(t, "key set", "ok", "fits")
	if n := rows(); n != 1 {
		t.Errorf("doctor wrote: %d rows", n)
	}
	change(`INSERT INTO vault_keys (id, current, created_at, current_at) VALUES (1, 1, 0, 1)`)
	diagnose(t, g.env).wants(t, "key set", "fail", "not the one")
	change(`DELETE FROM goose_db_version WHERE version_id >= 6`)
	change(`DROP TABLE vault_keys`)
	before := diagnose(t, g.env)
	before.wants(t, "database", "warn", "pending")
	before.wants(t, "key set", "off", "migrations")
	if err := os.Remove(filepath.Join(g.data, "keyset.json")); err != nil {
		t.Fatal(err)
	}
	diagnose(t, g.env).wants(t, "key set", "fail", "missing")

	path := filepath.Join(g.data, "gatehouse.db")
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	half := all[len(all)/2:] // more than one page: a free one may be anything
	copy(half, bytes.Repeat([]byte{0xff}, len(half)))
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	diagnose(t, g.env).wants(t, "database", "fail", "damaged")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	diagnose(t, g.env).wants(t, "database", "warn", "gone")
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("doctor made a database: %v %v", info, err)
	}
}

// Before a shared database is used for the first time, doctor leaves it empty, and looks at the key set.
func TestDoctorBeforeASharedDatabaseIsUsed(t *testing.T) {
	url := sqldbtest.PostgresURL(t)
	keyset := filepath.Join(t.TempDir(), "keyset.json")
	g := newGateway(t, map[string]string{"GATEHOUSE_DATABASE_URL": url, "GATEHOUSE_KEYSET_FILE": keyset})
	d := diagnose(t, g.env)
	d.wants(t, "database", "off", "without a schema")
	d.wants(t, "key set", "fail", "gatehouse keys file new")
	if err := os.WriteFile(keyset, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	diagnose(t, g.env).wants(t, "key set", "fail", "damaged")
	db, err := sqldb.Open(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables int
	if err := db.Get(t.Context(), &tables, `SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'`); err != nil || tables != 0 {
		t.Errorf("doctor made %d tables, %v", tables, err)
	}
}

func TestDoctorMakesNoStreams(t *testing.T) {
	n := newNATS(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": n.url()})
	diagnose(t, g.env).wants(t, "NATS", "ok", "the first start makes the streams")
	conn, js := n.connect()
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for name := range js.StreamNames(ctx).Name() {
		t.Errorf("doctor made stream %s", name)
	}
	g.start()
	diagnose(t, g.env).wants(t, "NATS", "ok", "as they should be")
	if _, stdout, _ := command(t, g.env, "doctor", "--json"); !strings.Contains(stdout, `"nats_configuration": "# accounts, `) {
		t.Errorf("no block for the server's configuration: %s", stdout)
	}
}

// untrusted is the URL of a server whose certificate nobody signed.
func untrusted(t *testing.T) string {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.URL
}

func redirecting(t *testing.T) string {
	s := httptest.NewServer(http.RedirectHandler("https://elsewhere.example.com/", http.StatusFound))
	t.Cleanup(s.Close)
	return s.URL
}

// clientCertificate uses a certificate for endpoints instead.
func clientCertificate(env map[string]string) map[string]string {
	return map[string]string{"GATEHOUSE_EGRESS_CERT_FILE": env["GATEHOUSE_TLS_CERT_FILE"], "GATEHOUSE_EGRESS_KEY_FILE": env["GATEHOUSE_TLS_KEY_FILE"]}
}

// lagging is the URL of the same DoorFlow with a clock that is behind.
func lagging(t *testing.T, api string, behind time.Duration) string {
	u, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ModifyResponse = func(resp *http.Response) error {
		resp.Header.Set("Date", time.Now().Add(-behind).UTC().Format(http.TimeFormat))
		return nil
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return s.URL
}

// certificate configures a gateway at https://gw.example.com with a certificate for host.
func certificate(t *testing.T, host string, remaining time.Duration) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(remaining),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range []struct {
		name string
		pem  pem.Block
	}{{"cert.pem", pem.Block{Type: "CERTIFICATE", Bytes: der}}, {"key.pem", pem.Block{Type: "PRIVATE KEY", Bytes: private}}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), pem.EncodeToMemory(&f.pem), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{
		"GATEHOUSE_PUBLIC_URL":    "https://gw.example.com",
		"GATEHOUSE_TLS_CERT_FILE": filepath.Join(dir, "cert.pem"), "GATEHOUSE_TLS_KEY_FILE": filepath.Join(dir, "key.pem"),
	}
}

func TestDoctorPrintsForPeople(t *testing.T) {
	g := newGateway(t, nil)
	_, stdout, _ := command(t, g.env, "doctor")
	for _, want := range []string{"GATEHOUSE_ADMIN_TOKEN", "REDACTED", "FAIL  DoorFlow: API", "\n" + strings.Repeat(" ", 28) + "→ "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if slices.ContainsFunc([]string{clientSecret, webhookSecret, adminToken}, func(s string) bool { return strings.Contains(stdout, s) }) {
		t.Error("a secret is printed")
	}
}
