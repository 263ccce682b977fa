package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/events"
	"gatehouse/web"
)

// What faults in the demo are about.
const (
	DemoHall = mainHall
	DemoBen  = benSubject
)

// SealedColumns are the columns that a rotation goes through.
var SealedColumns = sealedColumns

// DemoOnce is `demo --once` in this process, with something spoilt before the story begins and less patience.
func DemoOnce(ctx context.Context, out io.Writer, patience time.Duration, spoil func(*doorflowsim.Sim, *doordecksim.Sim)) error {
	c := demoCommand{Once: true, patience: patience, spoil: spoil}
	return c.Run(ctx, &terminal{out, out})
}

// open opens a gateway with these flags, as serve does.
func open(ctx context.Context, flags map[string]string) (*App, error) {
	config, err := newConfig(flags)
	if err != nil {
		return nil, err
	}
	return Open(ctx, config, slog.New(slog.DiscardHandler))
}

// Routes returns what the router of a gateway with these flags answers to, as method and path.
func Routes(ctx context.Context, flags map[string]string) ([]string, error) {
	app, err := open(ctx, flags)
	if err != nil {
		return nil, err
	}
	defer app.Close()
	c, err := app.webConfig()
	if err != nil {
		return nil, err
	}
	c.Registry, c.Wrap = web.NewRegistry(), nil // of the router alone
	server, err := web.New(c)
	if err != nil {
		return nil, err
	}
	var routes []string
	for _, r := range server.Public(true).(*echo.Echo).Routes() {
		routes = append(routes, r.Method+" "+r.Path)
	}
	return routes, nil
}

// Say puts a message of no account into the log of a gateway with these flags, and returns its id.
func Say(ctx context.Context, flags map[string]string, subject string) (string, error) {
	app, err := open(ctx, flags)
	if err != nil {
		return "", err
	}
	defer app.Close()
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.events.Run(running) }()
	id := uuid.Must(uuid.NewV7()).String()
	m := events.Encoded{ID: id, Subject: subject, Body: []byte(`{"specversion":"1.0","id":"` + id + `","source":"/gatehouse","type":"` + subject + `",` +
		`"time":"2026-01-01T00:00:00Z","datacontenttype":"application/json","data":{}}`)}
	err = app.events.Do(ctx, func(_ context.Context, tx *events.Tx) error { tx.Append(m); return nil })
	stop()
	return id, errors.Join(err, <-ended)
}

// The examples of the help.
var (
	Examples   = examplesText
	ExamplesOf = examplesOf
)

func testParser() *kong.Kong {
	parser, err := newParser(context.Background(), &terminal{io.Discard, io.Discard}, func(int) {})
	if err != nil {
		panic(err)
	}
	return parser
}

// Parse reads a command line and returns the command that it is of.
func Parse(args []string) (string, error) {
	parsed, err := testParser().Parse(args)
	if err != nil {
		return "", err
	}
	return parsed.Selected().Path(), nil
}

// Leaves are the commands that people use.
func Leaves() (paths []string) {
	for _, leaf := range testParser().Model.Leaves(true) {
		paths = append(paths, leaf.Path())
	}
	return paths
}
