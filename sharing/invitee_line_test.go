package sharing_test

import (
	"strings"
	"testing"

	"gatehouse/sharing"
)

func TestPeopleOnLines(t *testing.T) {
	const user = "7a1d2c30-0003-11f0-8000-00000000c001"
	for line, want := range map[string]sharing.Named{
		"ana@example.test":                {Email: "ana@example.test"},
		"  ana@example.test ;":            {Email: "ana@example.test"},
		"Ana Pereira <ana@example.test>,": {Email: "ana@example.test"},
		"+44 (20) 7946-0012":              {Telephone: "+442079460012"},
		user:                              {User: user},
		strings.ToUpper(user):             {User: user},
		"foreign_key: emp 17@harbour":     {ForeignKey: "emp 17@harbour"},
		"foreign_key:+44":                 {ForeignKey: "+44"},
		"Ana <foreign_key:emp-17>":        {ForeignKey: "emp-17"},
	} {
		if got, err := sharing.ReadNamed(line); err != nil || got != want {
			t.Errorf("%q is %+v, %v", line, got, err)
		}
	}
	for line, want := range map[string]string{
		"ana.example.test":        "must be an email, a telephone",
		"":                        "must be an email, a telephone",
		"ana@":                    "must be an address such as",
		"ana@a.test, bob@b.test":  "must be an address such as",
		"<ana@example.test> Ana":  "must be an address such as",
		"+0":                      "must be a number in E.164 form",
		"foreign_key:":            "must say behind",
		"foreign_key:\x00":        "must be at most 1024 bytes of printable",
		"7a1d2c30-0003-11f0-8000": "must be an email, a telephone",
	} {
		if got, err := sharing.ReadNamed(line); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q is %+v, %v", line, got, err)
		}
	}
}
