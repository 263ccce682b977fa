package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oasdiff/yaml"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// What operators are given speaks of metrics that exist: the alerts, the dashboard and the documentation are
// held against what a gateway with all its parts tells Prometheus, names, labels and values of labels.
func TestTheOperatorsFilesFitTheMetrics(t *testing.T) {
	g := newGateway(t, nil)
	newDoordeck(t, g)
	g.start()
	told := g.told(t)
	manual := read(t, "../../docs/operations.md")

	t.Run("alerts", func(t *testing.T) {
		var file struct {
			Groups []struct {
				Rules []struct {
					Alert, Expr         string
					Labels, Annotations map[string]string
				}
			}
		}
		if _, err := yaml.Unmarshal(read(t, "../../docs/prometheus/rules.yaml"), &file, yaml.DecodeOpts{}); err != nil {
			t.Fatal(err)
		}
		var alerts []string
		for _, group := range file.Groups {
			for _, rule := range group.Rules {
				alerts = append(alerts, rule.Alert)
				told.fit(t, rule.Alert, rule.Expr)
				if !slices.Contains([]string{"page", "ticket"}, rule.Labels["severity"]) || rule.Annotations["summary"] == "" {
					t.Errorf("%s lacks a severity or a summary", rule.Alert)
				}
				if want := "docs/operations.md#" + strings.ToLower(rule.Alert); rule.Annotations["runbook"] != want {
					t.Errorf("%s names the runbook %q, want %s", rule.Alert, rule.Annotations["runbook"], want)
				}
			}
		}
		var described []string
		for _, m := range regexp.MustCompile(`(?m)^### (Gatehouse[A-Za-z]+)$`).FindAllSubmatch(manual, -1) {
			described = append(described, string(m[1]))
		}
		if slices.Sort(alerts); len(alerts) < 20 || len(slices.Compact(slices.Clone(alerts))) != len(alerts) {
			t.Errorf("alerts: %v", alerts)
		}
		if slices.Sort(described); !slices.Equal(alerts, described) {
			t.Errorf("docs/operations.md has headings for\n%v\nthe alerts are\n%v", described, alerts)
		}
	})

	t.Run("dashboard", func(t *testing.T) {
		data := read(t, "../../docs/grafana/gatehouse.json")
		var file struct {
			Panels []struct {
				ID      int
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		ids := map[int]bool{}
		for _, panel := range file.Panels {
			if ids[panel.ID] {
				t.Errorf("two panels have the id %d", panel.ID)
			}
			ids[panel.ID] = true
			for _, target := range panel.Targets {
				expr := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr)
				told.fit(t, panel.Title, expr)
			}
		}
		for name := range told {
			if strings.HasPrefix(name, "gatehouse_") && !bytes.Contains(data, []byte(name)) {
				t.Errorf("the dashboard does not show %s", name)
			}
		}
	})

	t.Run("documentation", func(t *testing.T) {
		pages, err := filepath.Glob("../../docs/*.md")
		if err != nil {
			t.Fatal(err)
		}
		spoken := regexp.MustCompile("`(gatehouse_[a-z_]+)(?:\\{([^}]*)\\})?`")
		for _, page := range append(pages, "../../README.md") {
			for _, m := range spoken.FindAllStringSubmatch(string(read(t, page)), -1) {
				if expr := m[1]; m[2] == "" || strings.Contains(m[2], "=") {
					told.fit(t, page, strings.Trim(m[0], "`"))
				} else { // labels by their names alone
					told.fit(t, page, "sum by ("+m[2]+") ("+expr+")")
				}
			}
		}
		for name := range told {
			if strings.HasPrefix(name, "gatehouse_") && !bytes.Contains(manual, []byte("`"+name)) {
				t.Errorf("docs/operations.md does not explain %s", name)
			}
		}
	})
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// told is what a gateway tells Prometheus: the values of each label of each metric.
type told map[string]map[string][]string

func (g *gateway) told(t *testing.T) told {
	t.Helper()
	g.get("/livez") // so that requests have been counted
	page := get(t, "http://"+g.ops+"/metrics")
	metrics := expfmt.NewTextParser(model.UTF8Validation)
	families, err := metrics.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	all := told{}
	for name, family := range families {
		values := map[string][]string{}
		for _, metric := range family.Metric {
			for _, l := range metric.Label {
				values[l.GetName()] = append(values[l.GetName()], l.GetValue())
			}
		}
		if family.GetType() == dto.MetricType_HISTOGRAM {
			values["le"] = nil
		}
		all[name] = values
	}
	if len(all) < 50 {
		t.Fatalf("the gateway tells only %d metrics", len(all))
	}
	return all
}

// fit fails when an expression does not parse, or speaks of what the gateway does not tell.
func (all told) fit(t *testing.T, where, expr string) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			for _, m := range n.LabelMatchers {
				if m.Name != model.MetricNameLabel {
					all.fitLabel(t, where, n.Name, m.Name, strings.Split(m.Value, "|"))
				}
			}
			if n.Name != "up" && all.metric(n.Name) == nil {
				t.Errorf("%s: there is no metric %s", where, n.Name)
			}
		case *parser.AggregateExpr:
			parser.Inspect(n.Expr, func(below parser.Node, _ []parser.Node) error {
				if v, ok := below.(*parser.VectorSelector); ok {
					for _, label := range n.Grouping {
						all.fitLabel(t, where, v.Name, label, nil)
					}
				}
				return nil
			})
		}
		return nil
	})
}

// metric finds one by the name of a series of it.
func (all told) metric(series string) map[string][]string {
	if m := all[series]; m != nil {
		return m
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, suffix); ok && all[name] != nil {
			return all[name]
		}
	}
	return nil
}

func (all told) fitLabel(t *testing.T, where, series, label string, values []string) {
	t.Helper()
	if label == "instance" || label == "job" { // Prometheus adds them
		return
	}
	known, ok := all.metric(series)[label]
	if !ok {
		t.Errorf("%s: %s has no label %s", where, series, label)
	}
	for _, v := range values {
		if !slices.Contains(known, v) {
			t.Errorf("%s: the label %s of %s is never %q", where, label, series, v)
		}
	}
}
