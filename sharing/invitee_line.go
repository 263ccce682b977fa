package sharing

import (
	"errors"
	"strings"

	"gatehouse/doordeck"
	"gatehouse/internal/invalid"
)

// foreignKeyMark stands before what an application calls a person, which by itself cannot be told from a mistake.
const foreignKeyMark = "foreign_key:"

// ReadNamed reads a person as people write one on a line: an email, alone or as mail programs write it with a name
// (Ana Pereira <ana@example.test>), a telephone in E.164 form with spaces or dashes, a Doordeck user's id, or foreign_key: and
// what the application calls them. It has the form that an operation takes. The error says what is wrong with the line.
func ReadNamed(line string) (Named, error) {
	line = strings.TrimSpace(strings.TrimRight(strings.TrimSpace(line), ",;"))
	if from := strings.LastIndexByte(line, '<'); from >= 0 && strings.HasSuffix(line, ">") {
		line = line[from+1 : len(line)-1]
	}
	var n Named
	switch key, isKey := strings.CutPrefix(line, foreignKeyMark); {
	case isKey:
		if n.ForeignKey = strings.TrimSpace(key); n.ForeignKey == "" {
			return Named{}, errors.New("must say behind foreign_key: what your application calls the person")
		}
	case strings.HasPrefix(line, "+"):
		n.Telephone = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", "\u00a0", "").Replace(line)
	case strings.Contains(line, "@"):
		n.Email = line
	case doordeck.UserID(line).Valid():
		n.User = strings.ToLower(line)
	default:
		return Named{}, errors.New("must be an email, a telephone such as +442034341020, a Doordeck user's id, or foreign_key: and what your application calls the person")
	}
	i := invitee{Email: n.Email, Telephone: n.Telephone, ForeignKey: n.ForeignKey, User: n.User}
	if wrong, ok := errors.AsType[*invalid.Error](i.check()); ok {
		return Named{}, errors.New(wrong.Detail)
	}
	return n, nil
}

// ReadNewcomer reads a person who is made known if Doordeck does not know them: what the application calls them, with
// foreign_key: before it or not, a comma, and an email or a telephone.
func ReadNewcomer(line string) (Named, error) {
	line = strings.TrimRight(strings.TrimSpace(line), ",; ")
	comma := strings.LastIndexByte(line, ',')
	if comma < 0 {
		return Named{}, errors.New("must be what your application calls the person, a comma, and an email or a telephone: somebody is made known by both")
	}
	key := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line[:comma]), foreignKeyMark))
	n, err := ReadNamed(foreignKeyMark + key)
	if err != nil {
		return Named{}, err
	}
	address, err := ReadNamed(line[comma+1:])
	if err != nil || address.Email == "" && address.Telephone == "" {
		return Named{}, errors.New("must have an email or a telephone such as +442034341020 behind the last comma")
	}
	n.Email, n.Telephone = address.Email, address.Telephone
	return n, nil
}
