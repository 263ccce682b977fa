package doordeck

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
)

// encode gives the bytes that other languages give too: no spaces, and < > & as they are. What it is given
// are this package's own structs of strings and numbers, which cannot fail.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// maxList bounds how many entries a list of an answer may have.
const maxList = 20_000

// list is a JSON array of bounded length.
type list[T any] []T

// UnmarshalJSON reads entry by entry, so that a flood stops early.
func (l *list[T]) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if opening, err := dec.Token(); err != nil || opening != json.Delim('[') {
		if opening == nil && err == nil { // null
			return nil
		}
		return errors.New("not a list")
	}
	for dec.More() {
		if len(*l) == maxList {
			return errors.New("the list is too long")
		}
		var entry T
		if err := dec.Decode(&entry); err != nil {
			return err
		}
		*l = append(*l, entry)
	}
	return nil
}

// epoch is a time as Doordeck gives it: seconds since 1970, often with decimals, or null.
type epoch struct{ time.Time }

// UnmarshalJSON takes the seconds also as a text. What cannot be read is an error: an end taken for none
// would be access for ever. The fraction is good to the microsecond, as a float is.
func (e *epoch) UnmarshalJSON(data []byte) error {
	text := string(bytes.Trim(data, `"`))
	if text == "null" || text == "" {
		return nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds >= endOfTime {
		return errors.New("not a time")
	}
	whole, part := math.Modf(seconds)
	e.Time = time.Unix(int64(whole), int64(math.Round(part*1e6))*1e3).UTC()
	return nil
}

// endOfTime is the year 10000, in seconds since 1970; RFC 3339 has none beyond.
const endOfTime = 253402300800
