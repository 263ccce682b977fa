package doordeck

import (
	"net/http"
	"strings"
)

// index holds the entries of an answer by what they were found by: as the directory writes it, and in the
// form in which different spellings are the same.
type index struct{ exact, folded map[string]Entry }

// indexed sorts an answer. Entries without an id or key are of no use and are left out. Unnamed tells that
// one does not say by what it was found.
func indexed(by By, answer []entry) (ix index, unnamed bool, err error) {
	ix = index{exact: map[string]Entry{}, folded: map[string]Entry{}}
	for _, raw := range answer {
		e := raw.entry(by)
		switch {
		case !e.ID.Valid() || e.PublicKey == "":
			continue
		case e.Asked == "":
			unnamed = true
			continue
		}
		// Two people for one value would be a door opened to the wrong one.
		if other, taken := ix.exact[e.Asked]; taken && !same(other.ID, e.ID) {
			return ix, false, misread(http.StatusOK, "the directory gives two users for one "+string(by))
		}
		ix.exact[e.Asked] = e
		folded := by.fold(e.Asked)
		if other, taken := ix.folded[folded]; taken && !same(other.ID, e.ID) {
			e = Entry{} // each is found by the very spelling only
		}
		ix.folded[folded] = e
	}
	return ix, unnamed, nil
}

func (ix index) find(by By, value string) (Entry, bool) {
	if e, ok := ix.exact[value]; ok {
		return e, true
	}
	e := ix.folded[by.fold(value)]
	return e, e.ID != ""
}

// fold gives spellings of the same address the same form. Foreign keys have only one.
func (by By) fold(value string) string {
	switch by {
	case ByEmail, ByLocalKey:
		return strings.ToLower(value)
	case ByTelephone:
		return strings.Map(func(r rune) rune {
			if r == '+' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, value)
	default:
		return value
	}
}
