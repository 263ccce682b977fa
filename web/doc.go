// Package web is the gateway's HTTP face: the middleware and the route table (server.go, routes.go), the
// one place where statuses are chosen (problem.go), who may call (auth.go), health, and the listener for
// operators (ops.go). The handlers themselves are in the packages whose nouns they serve; they return
// errors, and never a status for one.
//
// It owns no tables and keeps nothing that a crash could lose. It does not listen by itself: Serve runs
// any of its handlers on a listener.
package web
