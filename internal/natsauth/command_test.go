package natsauth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gatehouse/internal/natsauth"
)

// JetStream remembers message ids for a stream, whoever used them. Who uses one before somebody else must not keep
// the other's command from being stored.
func TestACommandIsNotLeftOutForTheMessageIDOfAnother(t *testing.T) {
	s := newSite(t)
	command := func(a *app, subject string) string {
		t.Helper()
		m := nats.NewMsg(subject)
		m.Header.Set(nats.MsgIdHdr, "visit-8841")
		answer, err := a.RequestMsg(m, 30*time.Second)
		must(t, err)
		return string(answer.Data)
	}
	apps := map[string]*app{}
	for name, identity := range map[string]string{"attacker": "umbrella", "victim": "acme"} {
		apps[name] = s.connect(t, name, s.mint(t, natsauth.Grant{Name: name, Command: map[string][]string{identity: {"revoke"}}}))
	}
	if answer := command(apps["attacker"], "gatehouse.command.umbrella.revoke.attacker"); strings.Contains(answer, "duplicate") {
		t.Fatal(answer)
	}
	answer := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if answer = command(apps["victim"], "gatehouse.command.acme.revoke.victim"); !strings.Contains(answer, "duplicate") {
			return
		}
	}
	t.Errorf("twenty seconds later the command is still taken for another's: %s", answer)
}
