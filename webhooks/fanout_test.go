package webhooks_test

import (
	"strings"
	"testing"

	"gatehouse/internal/sqldb/sqldbtest"
)

// Several replicas find what a dead one has left. One of them takes its log over, by the relay's rule, and the others
// leave it alone.
func TestOneReplicaFansOutWhatADeadOneLeft(t *testing.T) {
	keys, database := keysetFile(t), sqldbtest.PostgresURL(t)
	dead, b := newOffice(t, sqldbtest.Open(t, database), keys), newBMS(t)
	e, _ := dead.endpoint(b.URL)
	dead.stop()
	left := dead.sayAtOnce(300) // nobody fans it out
	writer := dead.count(`SELECT id FROM writers`)
	dead.stopLog()
	heirs := []*office{newOffice(t, sqldbtest.Open(t, database), keys), newOffice(t, sqldbtest.Open(t, database), keys), newOffice(t, sqldbtest.Open(t, database), keys)}
	_, err := dead.db.Writer().ExecContext(t.Context(), `UPDATE writers SET expires_at = 0 WHERE id = $1`, writer)
	must(t, err)
	for _, h := range heirs {
		left = append(left, h.say(1)...)
	}
	await(t, "all is delivered", func() bool {
		return dead.count(`SELECT COUNT(*) FROM deliveries WHERE state = 'delivered' AND endpoint_id = ?`, e.ID) == int64(len(left))
	})
	if n := dead.count(`SELECT COUNT(*) FROM writers WHERE id = ? AND fenced = 1 AND holder = ?`, writer, dead.log.Holder()); n != 0 {
		t.Error("the log still belongs to the dead")
	}
	for i, h := range heirs {
		if text := h.lines.String(); strings.Contains(text, "could not be fanned out") || strings.Contains(text, "another process fans the log out") {
			t.Errorf("heir %d got in another's way:\n%s", i, text)
		}
		if n := dead.count(`SELECT COUNT(*) FROM writers WHERE id = ? AND holder = ?`, writer, h.log.Holder()); n == 1 {
			return
		}
	}
	t.Error("nobody has taken the log over")
}

// Who finds that another has gone through a log drops that one and goes on with the others.
func TestACursorThatMovedHoldsUpNoOtherLog(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.PostgresURL(t))
	o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
	e, _ := o.endpoint(b.URL)
	o.say(1)
	o.settled()
	// As if another had fanned out the next message of this log.
	_, err := db.Writer().ExecContext(t.Context(), `UPDATE delivery_cursors SET seq = seq + 1`)
	must(t, err)
	passed := o.say(1)[0]
	await(t, "it is noticed", func() bool { return strings.Contains(o.lines.String(), "another process fans the log out") })
	next := o.say(1)[0]
	await(t, "the next is delivered", func() bool { return o.delivery(next, e).Status == "delivered" })
	if b.times()[passed] != 0 || strings.Contains(o.lines.String(), "could not be fanned out") {
		t.Errorf("the endpoint got %v:\n%s", b.ids(), o.lines)
	}
}
