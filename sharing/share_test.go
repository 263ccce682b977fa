package sharing_test

import (
	"testing"

	"gatehouse/doordeck/doordecksim"
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
