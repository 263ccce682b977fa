package sharing_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/events"
	"gatehouse/sharing"
)

func TestWhatASubjectSays(t *testing.T) {
	for _, row := range []struct {
		kind, subject string
		want          string // identity, operation, caller and permissions; "" for a subject that is refused
	}{
		{"ask", "gatehouse.ask.acme.share.reception", "acme share reception [share]"},
		{"ask", "gatehouse.ask.acme.revoke.reception", "acme revoke reception [revoke]"},
		{"ask", "gatehouse.ask.acme.unlock.reception", "acme unlock reception [unlock]"},
		{"ask", "gatehouse.ask.acme.lookup.reception", "acme lookup reception []"},
		{"ask", "gatehouse.ask.Ac-me_2.doors.a-B_3", "Ac-me_2 doors a-B_3 []"},
		{"command", "gatehouse.command.acme.unlock.reception", "acme unlock reception [unlock]"},
		{"command", "gatehouse.command.acme.lookup.reception", ""},
		{"command", "gatehouse.ask.acme.share.reception", ""},
		{"ask", "gatehouse.command.acme.share.reception", ""},
		{"ask", "gatehouse.ask.acme.appoint.reception", ""},
		{"ask", "gatehouse.ask.acme.SHARE.reception", ""},
		{"ask", "gatehouse.ask.acme.share", ""},
		{"ask", "gatehouse.ask.acme.share.", ""},
		{"ask", "gatehouse.ask..share.reception", ""},
		{"ask", "gatehouse.ask.acme.share.reception.", ""},
		{"ask", "gatehouse.ask.acme.share.reception.more", ""},
		{"ask", "gatehouse.ask.%61cme.share.reception", ""}, // another way to write acme
		{"ask", "gatehouse.ask.acme.share.%", ""},
		{"ask", "gatehouse.ask.acme.share.*", ""},
		{"ask", "gatehouse.ask.acme.share.>", ""},
		{"ask", "gatehouse.ask.acme.share.réception", ""},
		{"ask", "gatehouse.ask." + strings.Repeat("a", 65) + ".share.reception", ""},
		{"ask", "gatehouse.ask.acme.share." + strings.Repeat("a", 65), ""},
		{"ask", "gatehouse.ask.", ""},
		{"ask", "", ""},
	} {
		got := ""
		if a, ok := sharing.OfSubject(row.kind, row.subject); ok {
			var permissions []string
			for _, p := range a.By.Permissions {
				permissions = append(permissions, string(p))
			}
			got = a.Identity + " " + a.Operation + " " + a.By.Caller + " [" + strings.Join(permissions, " ") + "]"
		}
		if got != row.want {
			t.Errorf("%s says %q, want %q", row.subject, got, row.want)
		}
	}
}

// What credentials are granted for is what a subject can say, and the other way round.
func TestWhatIsGrantedIsUnderstood(t *testing.T) {
	g := reception()
	for _, subject := range g.Asks() {
		kind := strings.Split(subject, ".")[1]
		a, ok := sharing.OfSubject(kind, subject)
		if !ok || a.Identity != "acme" || a.By.Caller != "reception" {
			t.Errorf("%s: %+v", subject, a)
		}
	}
	if n := len(g.Asks()); n != 9 {
		t.Errorf("%d subjects", n)
	}
}

// Whatever a subject is, it says no more than is written in it.
func FuzzOfSubject(f *testing.F) {
	for _, s := range []string{
		"gatehouse.ask.acme.share.reception", "gatehouse.command.acme.unlock.reception", "gatehouse.ask.a%2Eb.doors.x", "gatehouse.command.....",
		"gatehouse.ask.acme.share.reception\n", "gatehouse.ask.acme\x00.share.reception",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		for _, kind := range []string{"ask", "command"} {
			a, ok := sharing.OfSubject(kind, subject)
			if !ok {
				if a.By.Caller != "" || a.By.Permissions != nil || a.Identity != "" {
					t.Errorf("%q is refused and says %+v", subject, a)
				}
				continue
			}
			if written := events.Subject(kind, a.Identity, a.Operation, a.By.Caller); written != subject {
				t.Errorf("%q says %+v, which is written %q", subject, a, written)
			}
			if !slices.Equal(a.By.Identities, []string{a.Identity}) || len(a.By.Permissions) > 1 ||
				len(a.By.Permissions) == 1 && string(a.By.Permissions[0]) != a.Operation {
				t.Errorf("%q may do %+v", subject, a.By)
			}
		}
	})
}
