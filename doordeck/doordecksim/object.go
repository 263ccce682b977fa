package doordecksim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object whose names are compared exactly, unlike those of a struct in encoding/json.
type object map[string]json.RawMessage

var errNoObject = errors.New("want a JSON object")

func parseObject(raw []byte) (object, error) {
	var o object
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		return nil, errNoObject
	}
	return o, nil
}

// has says whether a name is there with something else than null, which one SDK sends for what it leaves out.
func (o object) has(name string) bool {
	raw, found := o[name]
	return found && !bytes.Equal(raw, []byte("null"))
}

// text is a string; false if the value is absent or something else.
func (o object) text(name string) (string, bool) { return as[string](o, name) }

// number is a finite number; false if the value is absent or something else.
func (o object) number(name string) (float64, bool) { return as[float64](o, name) }

func (o object) flag(name string) (bool, bool) { return as[bool](o, name) }

func as[T any](o object, name string) (T, bool) {
	var value T
	if !o.has(name) || json.Unmarshal(o[name], &value) != nil {
		return value, false
	}
	return value, true
}

// number writes a whole number as the API's JSON does.
func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }

// maxEpoch keeps times within what Go and JSON can say: the year 5138.
const maxEpoch = 1e11

// epoch reads seconds, which may carry decimals.
func epoch(seconds float64) (time.Time, bool) {
	if !(math.Abs(seconds) <= maxEpoch) { // which NaN is not either
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), true
}

// decodeStandard takes padded standard base64 only. Go's decoder would skip line breaks.
func decodeStandard(text string) ([]byte, bool) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	return raw, err == nil
}

// decodeSegment decodes a part of a token. Doordeck's server takes both alphabets and optional padding; strict
// is what the standard says.
func decodeSegment(text string, strict bool) ([]byte, bool) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	if !strict {
		text = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	return raw, err == nil
}

// isUUID accepts upper and lower case.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if r != '-' {
				return false
			}
		case !strings.ContainsRune("0123456789abcdefABCDEF", r):
			return false
		}
	}
	return true
}
