package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/telemetry"
	"gatehouse/internal/vault"
	"gatehouse/migrations"
)

type doctorCommand struct {
	Config
	JSON bool `env:"-" help:"Print JSON."`
}

// finding is the outcome of one check. Status is ok, off, warn or fail.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	// Fix says what to do about a warning or a failure.
	Fix string `json:"fix,omitempty"`
}

type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

const doctorTimeout = 5 * time.Second

func (c *doctorCommand) Run(ctx context.Context, k *kong.Context, t *terminal) error {
	settings := effective(k)
	checks := []func(context.Context) finding{c.checkDirectory, c.checkDatabase, c.checkBus, c.checkDoorFlowUp, c.checkGateway}
	findings := make([]finding, 0, len(checks))
	failed := false
	for _, check := range checks {
		ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
		f := check(ctx)
		cancel()
		failed = failed || f.Status == "fail"
		findings = append(findings, f)
	}
	if err := c.print(t.out, settings, findings); err != nil {
		return err
	}
	if failed {
		return errReported
	}
	return nil
}

// effective lists the settings as they are after flags, variables, files and defaults. A secret prints as
// REDACTED because its type does; a password in a URL is cut out.
func effective(k *kong.Context) []setting {
	var settings []setting
	for _, flag := range k.Selected().Flags {
		if len(flag.Envs) == 0 {
			continue
		}
		value := ""
		if v := flag.Target; v.Kind() != reflect.Pointer || !v.IsNil() {
			value = fmt.Sprint(v.Interface())
			if v.Kind() == reflect.Slice {
				value = strings.Trim(value, "[]")
			}
		}
		settings = append(settings, setting{flag.Envs[0], telemetry.Scrub(value)})
	}
	return settings
}

func (c *doctorCommand) print(out io.Writer, settings []setting, findings []finding) error {
	if c.JSON {
		return writeJSON(out, map[string]any{"version": version(), "settings": settings, "checks": findings})
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range settings {
		fmt.Fprintf(w, "%s\t%s\n", s.Name, printable(orDash(s.Value)))
	}
	fmt.Fprintln(w)
	for _, f := range findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", strings.ToUpper(f.Status), f.Check, printable(f.Detail))
		if f.Fix != "" {
			fmt.Fprintf(w, "\t\t→ %s\n", f.Fix)
		}
	}
	return w.Flush()
}

func (c *doctorCommand) checkDirectory(context.Context) finding {
	f := finding{Check: "data directory", Status: "ok", Detail: c.DataDir}
	info, err := os.Stat(c.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Status, f.Detail = "off", c.DataDir+" does not exist yet; the first start makes it"
	case err != nil:
		f.Status, f.Detail, f.Fix = "fail", err.Error(), "let the gateway's user reach it"
	case info.Mode().Perm()&0o077 != 0:
		f.Status, f.Detail, f.Fix = "warn", fmt.Sprintf("%s is open to others (mode %04o)", c.DataDir, info.Mode().Perm()), "the next start closes it to 0700"
	}
	return f
}

// checkDatabase opens the database and the key set as a start would, but makes nothing.
func (c *doctorCommand) checkDatabase(ctx context.Context) finding {
	f := finding{Check: "database and key set", Status: "ok"}
	if c.DatabaseURL.IsZero() {
		if _, err := os.Stat(c.DataDir); err != nil {
			f.Status, f.Detail = "off", "not made yet"
			return f
		}
	}
	err := c.withDatabase(ctx, func(db *sqldb.DB) error {
		list, err := migrations.List(ctx, db.Writer().DB, db.Postgres())
		if err != nil {
			return err
		}
		for _, m := range list {
			if !m.Applied {
				f.Status, f.Detail, f.Fix = "warn", "migrations are pending", "run: gatehouse migrate up (serve does so too)"
				return nil
			}
		}
		var sealed int
		if err := db.Get(ctx, &sealed, `SELECT COUNT(*) FROM vault_secrets`); err != nil {
			return err
		}
		if sealed == 0 && !db.Postgres() {
			f.Status, f.Detail = "off", "schema up to date; the first start makes the key set"
			return nil
		}
		if _, err := vault.Load(ctx, c.keysetPath(), db.Writer(), false); err != nil {
			return err
		}
		f.Detail = c.databaseKind() + ", schema up to date, key set fits"
		return nil
	})
	if err != nil && strings.Contains(err.Error(), "in use by another") {
		f.Status, f.Detail = "off", "a gateway is running on this directory; see below for what it says"
	} else if err != nil {
		f.Status, f.Detail, f.Fix = "fail", oneLine(err), "see docs/operations.md"
	}
	return f
}

func (c *doctorCommand) checkBus(ctx context.Context) finding {
	f := finding{Check: "NATS", Status: "ok", Detail: "embedded"}
	if c.NATSURL == "" {
		return f
	}
	bus, err := events.Connect(ctx, events.BusConfig{
		URL: c.NATSURL, CredsFile: c.NATSCredsFile, CAFile: c.NATSCAFile, Replicas: c.NATSReplicas, Retention: c.Retention,
		Log: telemetry.NewLogger(io.Discard, "text", 0),
	})
	if err != nil {
		f.Status, f.Detail, f.Fix = "fail", oneLine(err), "check GATEHOUSE_NATS_URL, the credentials and the CA, and that JetStream is on"
		return f
	}
	defer bus.Close()
	f.Detail = "external, both streams are as they should be"
	return f
}

// checkDoorFlowUp asks DoorFlow's API without a token: "unauthorized" is the answer of a healthy one.
func (c *doctorCommand) checkDoorFlowUp(ctx context.Context) finding {
	f := finding{Check: "DoorFlow", Status: "ok"}
	if !c.doorflow() {
		f.Status, f.Detail = "off", "no OAuth application is configured"
		f.Fix = "set GATEHOUSE_DOORFLOW_CLIENT_ID and GATEHOUSE_DOORFLOW_CLIENT_SECRET"
		return f
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.DoorflowAPIURL.JoinPath("api/3/account").String(), nil)
	if err != nil {
		f.Status, f.Detail = "fail", err.Error()
		return f
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		f.Status, f.Detail, f.Fix = "fail", oneLine(err), "check DNS, the firewall and GATEHOUSE_DOORFLOW_API_URL"
		return f
	}
	_ = resp.Body.Close()
	f.Detail = fmt.Sprintf("%s answers (%d without a token)", c.DoorflowAPIURL.Host, resp.StatusCode)
	if resp.StatusCode != http.StatusUnauthorized {
		f.Status, f.Fix = "warn", "401 was expected: check GATEHOUSE_DOORFLOW_API_URL"
	}
	return f
}

// checkGateway asks a gateway that runs on this configuration how it is.
func (c *doctorCommand) checkGateway(ctx context.Context) finding {
	f := finding{Check: "running gateway", Status: "off", Detail: "none answers on " + c.Addr}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return f
	}
	scheme := "http://"
	if c.TLSCertFile != "" {
		scheme = "https://"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+c.Addr+"/readyz", nil)
	if err != nil {
		return f
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return f
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	f.Status, f.Detail = "ok", strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		f.Status, f.Fix = "fail", "see the gateway's log"
	}
	return f
}
