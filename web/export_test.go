package web

import "net"

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
