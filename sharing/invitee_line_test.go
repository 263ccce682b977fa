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

func TestNewcomersOnLines(t *testing.T) {
	for line, want := range map[string]sharing.Named{
		"visitor-81, ana@example.test":                 {ForeignKey: "visitor-81", Email: "ana@example.test"},
		" foreign_key: visitor 81,+44 20 7946 0012 ;":  {ForeignKey: "visitor 81", Telephone: "+442079460012"},
		"Pereira, Ana, Ana Pereira <ana@example.test>": {ForeignKey: "Pereira, Ana", Email: "ana@example.test"},
	} {
		if got, err := sharing.ReadNewcomer(line); err != nil || got != want {
			t.Errorf("%q is %+v, %v", line, got, err)
		}
	}
	for line, want := range map[string]string{
		"":                         "must be what your application calls the person, a comma",
		"ana@example.test":         "must be what your application calls the person, a comma",
		"visitor-81,":              "must be what your application calls the person, a comma",
		", ana@example.test":       "must say behind",
		"visitor-81, visitor-82":   "must have an email or a telephone",
		"visitor-81, foreign_key:": "must have an email or a telephone",
		"visitor\x00, ana@a.test":  "must be at most 1024 bytes of printable",
	} {
		if got, err := sharing.ReadNewcomer(line); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q is %+v, %v", line, got, err)
		}
	}
}
