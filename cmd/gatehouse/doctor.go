package main

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"gatehouse/internal/telemetry"
)

// doctorCommand looks at everything a gateway with this configuration depends on. It changes nothing: it
// makes no directory, database, key set or stream, and asks DoorFlow and Doordeck for nothing that has an effect.
type doctorCommand struct {
	Config
	JSON bool `env:"-" help:"Print JSON."`
}

// finding is the outcome of one check.
type finding struct {
	Check  string `json:"check"`
	Status status `json:"status"`
	Detail string `json:"detail"`
	// Fix says what to do about a warning or a failure.
	Fix string `json:"fix,omitempty"`
}

// status is off where there is nothing to check; only fail makes the command fail.
type status string

const (
	statusOK   status = "ok"
	statusOff  status = "off"
	statusWarn status = "warn"
	statusFail status = "fail"
)

func ok(format string, args ...any) finding {
	return finding{Status: statusOK, Detail: fmt.Sprintf(format, args...)}
}

func off(format string, args ...any) finding {
	return finding{Status: statusOff, Detail: fmt.Sprintf(format, args...)}
}

func warn(fix, format string, args ...any) finding {
	return finding{Status: statusWarn, Detail: fmt.Sprintf(format, args...), Fix: fix}
}

func fail(fix, format string, args ...any) finding {
	return finding{Status: statusFail, Detail: fmt.Sprintf(format, args...), Fix: fix}
}

type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// doctorTimeout is how long one check may take.
const doctorTimeout = 5 * time.Second

// checks are in the order in which a start needs what they look at.
func (c *doctorCommand) checks() []check {
	checks := []check{
		{"data directory", c.checkDirectory},
		{"disk", c.checkDisk},
		{"database", c.checkDatabase},
		{"key set", c.checkKeyset},
		{"listeners", c.checkListeners},
		{"TLS certificate", c.checkCertificate},
		{"NATS", c.checkBus},
		{"egress", c.checkEgressFiles},
	}
	far := &doorflowCheck{config: &c.Config}
	if c.doorflow() {
		checks = append(checks, []check{
			{"DoorFlow: DNS", far.dns},
			{"DoorFlow: TLS", far.tls},
			{"DoorFlow: API", far.api},
			{"clock", far.clock},
			{"OAuth application", far.application},
			{"redirect URI", far.redirect},
			{"webhook secret", far.webhookSecret},
		}...)
	} else {
		checks = append(checks, check{"DoorFlow", far.none})
	}
	checks = append(checks, (&doordeckCheck{doctorCommand: c}).checks()...)
	if c.doordeck() {
		checks = append(checks, check{"operations on NATS", c.checkOperations})
	}
	return append(checks, check{"running gateway", c.checkGateway}, check{"public URL", c.checkPublicURL})
}

type check struct {
	name string
	run  func(context.Context) finding
}

func (c *doctorCommand) Run(ctx context.Context, k *kong.Context, t *terminal) error {
	settings := effective(k)
	if !c.JSON {
		if err := printSettings(t, settings); err != nil {
			return err
		}
	}
	var findings []finding
	failed := false
	for _, check := range c.checks() {
		ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
		f := check.run(ctx)
		cancel()
		f.Check = check.name
		failed = failed || f.Status == statusFail
		findings = append(findings, f)
		if !c.JSON {
			if err := f.print(t); err != nil { // each as it is known: some take seconds
				return err
			}
		}
	}
	if c.JSON {
		if err := writeJSON(t.out, map[string]any{"version": version(), "settings": settings, "checks": findings}); err != nil {
			return err
		}
	} else if c.NATSURL != "" {
		fmt.Fprintln(t.out)
		if err := printNATSBlock(t.out, "GATEWAY_KEY", "APP_KEY"); err != nil {
			return err
		}
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

func printSettings(t *terminal, settings []setting) error {
	fields := make([][2]string, len(settings))
	for i, s := range settings {
		fields[i] = [2]string{s.Name, orDash(s.Value)}
	}
	if err := t.fields(fields); err != nil {
		return err
	}
	_, err := fmt.Fprintln(t.out)
	return err
}

func (f finding) print(t *terminal) error {
	status := fmt.Sprintf("%-5s", strings.ToUpper(string(f.Status)))
	_, err := fmt.Fprintf(t.out, "%s %-18s %s\n", paint(t.out, toneOf(status), status), f.Check, printable(f.Detail))
	if err == nil && f.Fix != "" {
		_, err = fmt.Fprintf(t.out, "%25s→ %s\n", "", f.Fix)
	}
	return err
}
