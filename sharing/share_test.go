package sharing_test

import (
	"strings"
	"testing"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

func TestShareRevokeUnlock(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, db, keyset(t), c).run(t)
		for _, lock := range []string{front, loading, archive} {
			a := d.do(t, `{"id":"v1-%.36s","type":"share","lock":"%[1]s","invitees":[{"email":"ana@example.test"},{"telephone":"+442079460012"},{"email":"nobody@example.test"}]}`, lock)
			if a.Status != "partial" || a.Results[0].Status != "applied" || a.Results[1].Status != "applied" || a.Results[2].Error != "not_in_directory" {
				t.Errorf("%s", text(a))
			}
			t.Log(c.members(lock), d.said(t, a.Operation))
			a = d.do(t, `{"type":"revoke","lock":"%s","invitees":[{"foreign_key":"visitor-ana"},{"telephone":"+442079460012"}]}`, lock)
			if a.Status != "applied" {
				t.Errorf("%s", text(a))
			}
			t.Log(c.members(lock))
		}
		a := d.do(t, `{"type":"unlock","lock":"%s"}`, front)
		if a.Status != "applied" || c.Unlocks(front) != 1 {
			t.Error(text(a))
		}
	})
}

// The audit log says how an operation ended: also that it was done for some of its people only.
func TestTheAuditLogSaysHowAnOperationEnded(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	for name, row := range map[string]struct {
		body  string
		fault func(*doordecksim.Faults)
		want  audit.Outcome
	}{
		"all":       {`{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, nil, audit.Done},
		"some":      {`{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"},{"email":"nobody@example.test"}]}`, nil, audit.Partial},
		"none":      {`{"type":"share","lock":"%s","invitees":[{"email":"nobody@example.test"}]}`, nil, audit.Failed},
		"who knows": {`{"type":"unlock","lock":"%s"}`, func(f *doordecksim.Faults) { f.CutAfter(execute, 1) }, audit.Unknown},
	} {
		if row.fault != nil {
			row.fault(c.Faults())
		}
		a := d.submit(t, row.body, front)
		must(t, d.ops.Step(t.Context()))
		entries, _, err := d.audit.List(t.Context(), audit.Query{Limit: 1})
		must(t, err)
		if len(entries) != 1 || !strings.HasSuffix(entries[0].Target, a.Operation) || entries[0].Outcome != string(row.want) || entries[0].ActorKind != string(audit.KindGateway) {
			t.Errorf("%s: the audit log has %s", name, text(entries))
		}
	}
}
