package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"gatehouse/internal/audit"
)

type auditVerify struct {
	besideOrAlone
	Head []string `env:"-" placeholder:"HEAD" help:"What must be in the chains: heads that were kept elsewhere, as logged and published on gatehouse.audit.head."`
	JSON bool     `env:"-" help:"Print JSON."`
}

func (c *auditVerify) Run(ctx context.Context, t *terminal) error {
	var kept audit.Heads
	for _, s := range c.Head {
		heads, err := audit.ParseHeads(s)
		if err != nil {
			return usageError("--" + err.Error())
		}
		kept = append(kept, heads...)
	}
	report, err := c.verify(ctx, t, kept)
	if err != nil {
		return err
	}
	if c.JSON {
		err = writeJSON(t.out, report)
	} else {
		err = printReport(t.out, report)
	}
	if err == nil && len(report.Faults) > 0 {
		err = errReported
	}
	return err
}

// verify asks the gateway that runs, or reads the database itself.
func (c *auditVerify) verify(ctx context.Context, t *terminal, kept audit.Heads) (report audit.Report, err error) {
	p := progress{out: t.err, live: obeys(t.err)}
	defer p.end()
	tell := func(done, of int64) {
		if p.live {
			_ = p.line(fmt.Sprintf("%d of %d entries", done, of))
		}
	}
	a, err := c.open(ctx)
	if a == nil && err == nil && !c.DatabaseURL.IsZero() && c.Token.IsZero() {
		a, err = c.openStore(ctx)
	}
	switch {
	case err != nil:
		return report, err
	case a == nil:
		return askVerify(ctx, &c.client, kept, tell)
	}
	report, err = (&audit.Log{DB: a.db}).Verify(ctx, kept, tell)
	return report, errors.Join(err, a.Close())
}

func askVerify(ctx context.Context, c *client, kept audit.Heads, tell func(done, of int64)) (audit.Report, error) {
	query := url.Values{}
	if len(kept) > 0 {
		query.Set("head", kept.String())
	}
	resp, err := c.send(ctx, http.MethodGet, "/v1/audit/verify", query, nil, nil)
	if err != nil {
		return audit.Report{}, err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)); ; {
		var p audit.Progress
		if err := lines.Decode(&p); err != nil {
			return audit.Report{}, fmt.Errorf("the gateway's answer broke off, so that nothing is proven: %w", err)
		}
		if p.Report != nil {
			return *p.Report, nil
		}
		tell(p.Done, p.Of)
	}
}

func printReport(out io.Writer, r audit.Report) error {
	for _, f := range r.Faults {
		if _, err := fmt.Fprintln(out, printable(f.String())); err != nil {
			return err
		}
	}
	verdict := "all are as they were written"
	if len(r.Faults) > 0 {
		verdict = "THE AUDIT LOG IS NOT AS IT WAS WRITTEN"
	}
	chains := "chains"
	if r.Chains == 1 {
		chains = "chain"
	}
	_, err := fmt.Fprintf(out, "%d entries in %d %s: %s.\n", r.Entries, r.Chains, chains, verdict)
	if r.Head != "" && err == nil {
		_, err = fmt.Fprintf(out, "Head: %s\n", r.Head)
	}
	return err
}
