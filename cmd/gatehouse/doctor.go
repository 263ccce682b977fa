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

	unread bool // the database cannot be opened
	inside bool // the public URL leads to a gateway
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
	far := &doorflowCheck{config: &c.Config, reach: reach{url: c.DoorflowAPIURL, variable: "GATEHOUSE_DOORFLOW_API_URL"}}
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
	checks = append(checks, (&doordeckCheck{doctorCommand: c, reach: reach{url: c.DoordeckAPIURL, variable: "GATEHOUSE_DOORDECK_API_URL"}}).checks()...)
	if c.doordeck() {
		checks = append(checks, check{"operations on NATS", c.checkOperations})
	}
	checks = append(checks, []check{
		{"running gateway", c.checkGateway},
		{"public name", c.checkPublicName},
		{"public URL", c.checkPublicURL},
	}...)
	if c.doorflow() {
		checks = append(checks, check{"webhook URL", c.checkWebhookURL}, check{"webhooks", c.checkArrivals})
	}
	return checks
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
	count := map[status]int{}
	for _, check := range c.checks() {
		ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
		f := check.run(ctx)
		cancel()
		f.Check = check.name
		count[f.Status]++
		findings = append(findings, f)
		if !c.JSON {
			if err := f.print(t); err != nil { // each as it is known: some take seconds
				return err
			}
		}
	}
	if err := c.conclude(t, settings, findings, count); err != nil {
		return err
	}
	if count[statusFail] > 0 {
		return errReported
	}
	return nil
}

// conclude prints what belongs behind the checks: for programs, all of it.
func (c *doctorCommand) conclude(t *terminal, settings []setting, findings []finding, count map[status]int) error {
	var block strings.Builder
	if c.NATSURL != "" {
		if err := printNATSBlock(&block, "GATEWAY_KEY", "APP_KEY"); err != nil {
			return err
		}
	}
	if c.JSON {
		report := map[string]any{"version": version(), "settings": settings, "checks": findings}
		if c.NATSURL != "" {
			report["nats_configuration"] = block.String()
		}
		return writeJSON(t.out, report)
	}
	verdict := "Nothing is wrong."
	if count[statusFail]+count[statusWarn] > 0 {
		verdict = fmt.Sprintf("%d wrong (FAIL), %d to look at (WARN).", count[statusFail], count[statusWarn])
	}
	_, err := fmt.Fprintf(t.out, "\n%s\n", verdict)
	if err == nil && c.NATSURL != "" {
		_, err = fmt.Fprintf(t.out, "\n%s", block.String())
	}
	return err
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
	_, err := fmt.Fprintf(t.out, "%s %-20s  %s\n", paint(t.out, toneOf(status), status), f.Check, printable(f.Detail))
	if err == nil && f.Fix != "" {
		_, err = fmt.Fprintf(t.out, "%28s→ %s\n", "", f.Fix)
	}
	return err
}
