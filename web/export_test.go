package web

import (
	"database/sql"
	"net"
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
	"gatehouse/passthrough"
	"gatehouse/sharing"
)

// LimitListener bounds how many connections of a listener are open at once.
func LimitListener(ln net.Listener, n int) net.Listener {
	return &limitListener{Listener: ln, places: make(chan struct{}, n), closed: make(chan struct{})}
}

// Remembered is how many entries each of the limits' memories has.
func Remembered(s *Server) map[string]int {
	return map[string]int{
		"keys": s.keys.buckets.len(), "addresses": s.addresses.buckets.len(),
		"guessers": s.guard.guessers.len(), "known": s.guard.known.len(),
	}
}

// Problems are all that the server answers.
func Problems() []Problem {
	var all []Problem
	for _, s := range sentinels {
		all = append(all, newProblem(s.status, s.slug, s.detail, 0))
	}
	for _, err := range []error{
		&passthrough.NotActive{Status: "reauthorize"}, &sharing.NotReadyError{Status: sharing.StatusVerification},
		&sharing.TakenError{Field: "email"}, invalid.Field("limit", "must be a number from 1 to 500"), &http.MaxBytesError{Limit: maxBody},
		echo.ErrNotFound, sql.ErrConnDone, errPanic,
	} {
		p, _ := problemOf(err)
		all = append(all, p)
	}
	return all
}

// AnsweredInTime ends the context of a page's request.
func AnsweredInTime(next echo.HandlerFunc) echo.HandlerFunc { return answeredInTime(next) }
