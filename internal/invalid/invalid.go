// Package invalid is the error for input that cannot be accepted: it names the field and says what would do.
package invalid

import (
	"fmt"
	"strconv"
)

// Error is a fault in one field of what a caller sent.
type Error struct {
	// Field is the name as the caller wrote it: a JSON name, a query parameter, a header.
	Field string
	// Detail says what is wrong and what would be right, without repeating the value.
	Detail string
}

func (e *Error) Error() string { return e.Field + ": " + e.Detail }

// Field returns an *Error; the detail is formatted.
func Field(name, detail string, args ...any) error {
	return &Error{Field: name, Detail: fmt.Sprintf(detail, args...)}
}

// Limit reads the query parameter "limit" of a list: usual where it is absent, else a number from 1 to most.
func Limit(value string, usual, most int) (int, error) {
	if value == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > most {
		return 0, Field("limit", "must be a number from 1 to %d", most)
	}
	return n, nil
}
