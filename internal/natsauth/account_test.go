package natsauth_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/jwt/v2"

	"gatehouse/internal/natsauth"
)

// The account holds without the user's permissions, which say the same once more: it imports what its credential
// names, and exports nothing.
func TestAnAccountImportsWhatItsCredentialNames(t *testing.T) {
	authority, err := natsauth.NewAuthority()
	must(t, err)
	c := natsauth.Credential{
		Grant: natsauth.Grant{
			Name: "app", Events: []string{"hX9aQ2"}, Ask: map[string][]string{"acme": {"doors"}}, Command: map[string][]string{"acme": {"share"}}, Durable: true,
		},
		Account: "ADFEGEPM3JMFV5BD2GN4OQPBSRLSFZ5O7A2L5ZCGLQJLNJFMKK767LDW",
	}
	trust, err := authority.Trust([]natsauth.Credential{c})
	must(t, err)
	claims, err := jwt.DecodeAccountClaims(trust.Accounts[c.Account])
	must(t, err)
	imported := map[jwt.ExportType][]string{}
	for _, i := range claims.Imports {
		imported[i.Type] = append(imported[i.Type], string(i.Subject))
	}
	for _, subjects := range imported {
		slices.Sort(subjects)
	}
	want := map[jwt.ExportType][]string{
		jwt.Stream: {
			"gatehouse.connection.hX9aQ2.>", "gatehouse.event.hX9aQ2.>", "gatehouse.identity.acme.>", "gatehouse.notification.hX9aQ2.>", "gatehouse.operation.acme.>",
		},
		jwt.Service: {
			"$JS.ACK.GATEHOUSE.app.>", "$JS.API.CONSUMER.INFO.GATEHOUSE.app", "$JS.API.CONSUMER.MSG.NEXT.GATEHOUSE.app",
			"gatehouse.ask.acme.doors.app", "gatehouse.command.acme.share.app",
		},
	}
	if diff := cmp.Diff(want, imported); diff != "" || len(claims.Exports) > 0 {
		t.Errorf("imports, and %d exports: %s", len(claims.Exports), diff)
	}
}
