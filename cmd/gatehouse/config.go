package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"gatehouse/apikeys"
	"gatehouse/internal/vault"
)

// Config is how a gateway is set up: flags, each with its GATEHOUSE_… variable.
type Config struct {
	Addr      string `group:"Listening:" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Public listener: webhooks, OAuth, API. Default: ${default}."`
	AdminAddr string `group:"Listening:" placeholder:"HOST:PORT" help:"Where the API listens instead of on the public listener. Default: it does not."`
	OpsAddr   string `group:"Listening:" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Metrics and, to loopback callers, pprof. Empty turns it off. Default: ${default}."`

	PublicURL      *url.URL       `group:"Listening:" default:"http://localhost:8080" placeholder:"URL" help:"The gateway as browsers and DoorFlow see it. https unless loopback. Default: ${default}."`
	TLSCertFile    string         `group:"Listening:" name:"tls-cert-file" placeholder:"FILE" help:"Serve https with this certificate chain (PEM)."`
	TLSKeyFile     string         `group:"Listening:" name:"tls-key-file" placeholder:"FILE" help:"The certificate's private key (PEM)."`
	TrustedProxies []netip.Prefix `group:"Listening:" placeholder:"CIDR" help:"Proxies whose forwarded headers count."`

	DataDir     string       `group:"Data and secrets:" default:"./data" placeholder:"DIR" help:"Database, JetStream store and key set. Made 0700, locked by one process. Default: ${default}."`
	DatabaseURL vault.Secret `group:"Data and secrets:" name:"database-url" placeholder:"URL" help:"postgres://… instead of SQLite in the data directory."`
	KeysetFile  string       `group:"Data and secrets:" placeholder:"FILE" help:"Tink key set for secrets at rest. Default: keyset.json in the data directory."`
	AdminToken  vault.Secret `group:"Data and secrets:" placeholder:"TOKEN" help:"The first API key, all scopes. Default: made at first start, kept as admin-token in the data directory until there is another admin key."`

	NATSURL        string `group:"NATS:" name:"nats-url" placeholder:"URL,…" help:"nats://… or tls://… instead of the embedded server. TLS is required beyond loopback."`
	NATSCredsFile  string `group:"NATS:" name:"nats-creds-file" placeholder:"FILE" help:"Credentials for an external NATS."`
	NATSCAFile     string `group:"NATS:" name:"nats-ca-file" placeholder:"FILE" help:"CA bundle (PEM) for an external NATS."`
	NATSListen     string `group:"NATS:" name:"nats-listen" default:"127.0.0.1:4222" placeholder:"HOST:PORT" help:"Where the embedded server listens; beyond loopback it needs the TLS files. Empty: in process only. Default: ${default}."`
	NATSOperations string `group:"NATS:" words:"on,off" name:"nats-operations" placeholder:"on|off" help:"Whether door operations may be asked over NATS. On an external server its own permissions decide who may. Default: on embedded, else off."`
	NATSReplicas   int    `group:"NATS:" name:"nats-replicas" placeholder:"N" help:"Replicas of the streams. Default: 1 embedded, else 3 where the cluster has them."`

	ReturnURLs []string `group:"Listening:" name:"return-urls" placeholder:"ORIGIN" help:"Origins that a connect link's return_url may have."`

	DoorflowClientID         string        `group:"DoorFlow:" placeholder:"ID" help:"The DoorFlow OAuth application. Without it the DoorFlow parts are off."`
	DoorflowClientSecret     vault.Secret  `group:"DoorFlow:" placeholder:"SECRET" help:"Its secret."`
	DoorflowWebhookSecrets   vault.Secret  `group:"DoorFlow:" placeholder:"SECRET,…" help:"Secrets that sign webhooks, all tried. Default: the client secret."`
	DoorflowWebhookTolerance time.Duration `group:"DoorFlow:" default:"5m" help:"How far a webhook's Timestamp may lie from now, in both directions."`
	DoorflowScopes           scopes        `group:"DoorFlow:" default:"account.person account.channel.readonly account.event.access.readonly account.credential_type.readonly account.sync" help:"Scopes to ask for, separated by spaces."`
	DoorflowAPIURL           *url.URL      `group:"DoorFlow:" name:"doorflow-api-url" default:"https://api.doorflow.com" placeholder:"URL" help:"DoorFlow's API. https unless loopback. Default: ${default}."`
	DoorflowAuthorizeURL     *url.URL      `group:"DoorFlow:" default:"https://admin.doorflow.com/oauth/authorize" placeholder:"URL" help:"DoorFlow's authorize page. https unless loopback. Default: ${default}."`
	DoorflowCatchup          time.Duration `group:"DoorFlow:" default:"10m" help:"How often events are compared with what webhooks brought."`
	DoorflowSilence          time.Duration `group:"DoorFlow:" default:"24h" help:"After so long without a webhook an account is checked and called silent. 0: never."`
	DoorflowRate             int           `group:"DoorFlow:" default:"5" placeholder:"N" help:"Requests a second for each account, at most four at once. DoorFlow publishes no limit. Default: ${default}."`

	DoordeckAPIURL         *url.URL `group:"Doordeck:" name:"doordeck-api-url" default:"https://api.doordeck.com" placeholder:"URL" help:"Doordeck's API. https unless loopback. Default: ${default}."`
	DoordeckIssuer         string   `group:"Doordeck:" placeholder:"URL" help:"The OpenID issuer, exactly as it is registered for the Doordeck application. Without it the Doordeck parts are off."`
	DoordeckSigningKeyFile string   `group:"Doordeck:" placeholder:"FILE" help:"The application's private key (JWK or PEM; Ed25519, EC or RSA), readable by its owner alone."`
	DoordeckKeyID          string   `group:"Doordeck:" name:"doordeck-key-id" placeholder:"ID" help:"The kid that the key is registered under. Default: the JWK's own."`

	EgressAllow    []netip.Prefix `group:"Deliveries to endpoints:" placeholder:"CIDR" help:"Networks that endpoints may live in although they are not public; there http will do."`
	EgressCAFile   string         `group:"Deliveries to endpoints:" name:"egress-ca-file" placeholder:"FILE" help:"CA bundle (PEM) that endpoints' certificates are checked with, besides the system's. Read at start."`
	EgressCertFile string         `group:"Deliveries to endpoints:" placeholder:"FILE" help:"Client certificate (PEM) for endpoints that ask for one."`
	EgressKeyFile  string         `group:"Deliveries to endpoints:" placeholder:"FILE" help:"The client certificate's private key (PEM)."`

	CredentialNumbers numbersMode   `group:"Messages and logs:" default:"mask" enum:"mask,hmac,pass" help:"Card numbers and PINs in published events: mask, hmac (a stable pseudonym) or pass."`
	Retention         time.Duration `group:"Messages and logs:" default:"168h" help:"How long published messages are kept, and deliveries that have arrived."`
	ParkedRetention   time.Duration `group:"Messages and logs:" default:"720h" help:"How long deliveries are kept that were given up, with their messages."`

	LogLevel  string `group:"Messages and logs:" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	LogFormat string `words:"text,json" group:"Messages and logs:" placeholder:"FORMAT" help:"text or json. Default: text on a terminal, else json."`

	public net.Listener // the public one, where somebody has taken it already
}

type numbersMode string

// scopes is a list separated by spaces, as RFC 6749 writes it.
type scopes []string

func (s *scopes) UnmarshalText(text []byte) error {
	*s = strings.Fields(string(text))
	return nil
}

func (s scopes) MarshalText() ([]byte, error) { return []byte(strings.Join(s, " ")), nil }

// fault is one thing wrong with the configuration. It names the variable.
func fault(variable, format string, args ...any) error {
	return fmt.Errorf("GATEHOUSE_%s: %s", variable, fmt.Sprintf(format, args...))
}

// Validate checks the whole configuration before anything is opened.
func (c *Config) Validate() error {
	checks := []func() error{c.checkURLs, c.checkTLS, c.checkNATS, c.checkNATSOperations, c.checkDoorFlow, c.checkDoordeck, c.checkEgress, c.checkStorage, c.checkReturnURLs}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	if c.LogFormat != "" && c.LogFormat != "text" && c.LogFormat != "json" {
		return fault("LOG_FORMAT", "want text or json")
	}
	if c.Retention < time.Hour {
		return fault("RETENTION", "want at least 1h")
	}
	if c.ParkedRetention < time.Hour {
		return fault("PARKED_RETENTION", "want at least 1h")
	}
	return c.checkAdminToken()
}

// checkAdminToken refuses what could be guessed, or could not be sent in a header as it is.
func (c *Config) checkAdminToken() error {
	token := c.AdminToken.Reveal()
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fault("ADMIN_TOKEN", "want printable ASCII without spaces")
	}
	if !c.AdminToken.IsZero() && len(token) < apikeys.MinToken {
		return fault("ADMIN_TOKEN", "want at least %d characters", apikeys.MinToken)
	}
	return nil
}

func (c *Config) checkURLs() error {
	for _, u := range []struct {
		name string
		url  *url.URL
	}{
		{"PUBLIC_URL", c.PublicURL},
		{"DOORFLOW_API_URL", c.DoorflowAPIURL},
		{"DOORFLOW_AUTHORIZE_URL", c.DoorflowAuthorizeURL},
		{"DOORDECK_API_URL", c.DoordeckAPIURL},
	} {
		switch {
		case u.url.Hostname() == "" || (u.url.Scheme != "https" && u.url.Scheme != "http"):
			return fault(u.name, "want an https URL")
		case u.url.Scheme == "http" && !isLoopback(u.url.Hostname()):
			return fault(u.name, "want https; http is for loopback addresses only")
		case u.url.User != nil || u.url.RawQuery != "" || u.url.ForceQuery || u.url.Fragment != "":
			return fault(u.name, "want no user, query or fragment")
		}
	}
	if path := c.PublicURL.Path; path != "" && path != "/" {
		return fault("PUBLIC_URL", "want no path: the gateway answers at the root")
	}
	return c.checkAddrs()
}

// checkAddrs looks for what no listener could take. Two names for one address show when they are taken.
func (c *Config) checkAddrs() error {
	taken := map[string]string{}
	for _, l := range []struct {
		name, addr string
		optional   bool
	}{{"ADDR", c.Addr, false}, {"ADMIN_ADDR", c.AdminAddr, true}, {"OPS_ADDR", c.OpsAddr, true}} {
		if l.addr == "" && l.optional {
			continue
		}
		_, port, err := net.SplitHostPort(l.addr)
		if err != nil {
			return fault(l.name, "want HOST:PORT")
		}
		if other, same := taken[l.addr]; same && port != "0" {
			return fault(l.name, "want another address than GATEHOUSE_%s", other)
		}
		taken[l.addr] = l.name
	}
	return nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && addr.IsLoopback())
}

func (c *Config) checkTLS() error {
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		return errors.New("GATEHOUSE_TLS_CERT_FILE and GATEHOUSE_TLS_KEY_FILE: want both or neither")
	}
	return nil
}

func (c *Config) checkNATS() error {
	if c.NATSURL == "" {
		if c.NATSCredsFile != "" || c.NATSCAFile != "" {
			return errors.New("GATEHOUSE_NATS_CREDS_FILE and GATEHOUSE_NATS_CA_FILE: they need GATEHOUSE_NATS_URL")
		}
		if c.NATSReplicas > 1 {
			return fault("NATS_REPLICAS", "the embedded server has one")
		}
		return c.checkNATSListen()
	}
	if c.NATSReplicas < 0 || c.NATSReplicas > 5 {
		return fault("NATS_REPLICAS", "want 1 to 5")
	}
	for s := range strings.SplitSeq(c.NATSURL, ",") {
		u, err := url.Parse(strings.TrimSpace(s))
		switch {
		case err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls"}, u.Scheme):
			return fault("NATS_URL", "want nats://HOST:PORT or tls://HOST:PORT, several with commas")
		case u.Scheme == "nats" && !isLoopback(u.Hostname()):
			return fault("NATS_URL", "want tls://; nats:// is for loopback addresses only")
		}
	}
	return nil
}

func (c *Config) checkNATSListen() error {
	if c.NATSListen == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(c.NATSListen)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || strconv.FormatUint(n, 10) != port {
		return fault("NATS_LISTEN", "want HOST:PORT, or nothing for in process only")
	}
	if !c.natsOnLoopback() && c.TLSCertFile == "" {
		return fault("NATS_LISTEN", "beyond loopback it needs GATEHOUSE_TLS_CERT_FILE and GATEHOUSE_TLS_KEY_FILE")
	}
	return nil
}

// natsOnLoopback tells whether only this machine reaches the embedded server.
func (c *Config) natsOnLoopback() bool {
	host, _, _ := net.SplitHostPort(c.NATSListen)
	return c.NATSListen == "" || isLoopback(host)
}

// doorflow tells whether the DoorFlow parts are on.
func (c *Config) doorflow() bool { return c.DoorflowClientID != "" }

func (c *Config) checkDoorFlow() error {
	if !c.doorflow() {
		if !c.DoorflowClientSecret.IsZero() {
			return fault("DOORFLOW_CLIENT_ID", "is missing beside the client secret")
		}
		return nil
	}
	if c.DoorflowClientSecret.IsZero() {
		return fault("DOORFLOW_CLIENT_SECRET", "is missing beside the client id")
	}
	if len(c.DoorflowScopes) == 0 {
		return fault("DOORFLOW_SCOPES", "want at least one scope")
	}
	if c.DoorflowWebhookTolerance < time.Second || c.DoorflowWebhookTolerance > 24*time.Hour {
		return fault("DOORFLOW_WEBHOOK_TOLERANCE", "want 1s to 24h")
	}
	if c.DoorflowCatchup < 10*time.Second || c.DoorflowCatchup > 24*time.Hour {
		return fault("DOORFLOW_CATCHUP", "want 10s to 24h; it cannot be off, because webhooks alone may be lost")
	}
	if c.DoorflowSilence != 0 && (c.DoorflowSilence < time.Minute || c.DoorflowSilence > 90*24*time.Hour) {
		return fault("DOORFLOW_SILENCE", "want 1m to 2160h, or 0 to say nothing")
	}
	if c.DoorflowRate < 1 || c.DoorflowRate > 1000 {
		return fault("DOORFLOW_RATE", "want 1 to 1000")
	}
	_, err := c.webhookSecrets()
	return err
}

// webhookSecrets are the keys a webhook may be signed with. An empty one would let anybody in.
func (c *Config) webhookSecrets() ([][]byte, error) {
	if c.DoorflowWebhookSecrets.IsZero() {
		return [][]byte{[]byte(c.DoorflowClientSecret.Reveal())}, nil
	}
	var keys [][]byte
	for s := range strings.SplitSeq(c.DoorflowWebhookSecrets.Reveal(), ",") {
		if s = strings.TrimSpace(s); s == "" {
			return nil, fault("DOORFLOW_WEBHOOK_SECRETS", "one of them is empty")
		}
		keys = append(keys, []byte(s))
	}
	return keys, nil
}

func (c *Config) checkStorage() error {
	if c.DatabaseURL.IsZero() {
		return nil
	}
	if s := c.DatabaseURL.Reveal(); !strings.HasPrefix(s, "postgres://") && !strings.HasPrefix(s, "postgresql://") {
		return fault("DATABASE_URL", "want postgres://…")
	}
	if c.KeysetFile == "" {
		return fault("KEYSET_FILE", "is needed with GATEHOUSE_DATABASE_URL: the same key set on every replica")
	}
	if c.AdminToken.IsZero() {
		return fault("ADMIN_TOKEN", "is needed with GATEHOUSE_DATABASE_URL: the same token on every replica")
	}
	return nil
}

func (c *Config) checkReturnURLs() error {
	for _, s := range c.ReturnURLs {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.User != nil || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" ||
			(u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname()))) {
			return fault("RETURN_URLS", "want origins such as https://visitors.example.com")
		}
	}
	return nil
}

func (c *Config) keysetPath() string {
	if c.KeysetFile != "" {
		return c.KeysetFile
	}
	return filepath.Join(c.DataDir, "keyset.json")
}

// newConfig is a configuration made by the program itself, from flags, with the same defaults and checks.
func newConfig(flags map[string]string) (*Config, error) {
	var c Config
	parser, err := kong.New(&c, kong.Name("gatehouse"), kong.Exit(func(int) {}))
	if err != nil {
		return nil, err
	}
	args := make([]string, 0, len(flags))
	for name, value := range flags {
		args = append(args, "--"+name+"="+value)
	}
	_, err = parser.Parse(args)
	return &c, err
}
