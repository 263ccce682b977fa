package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"gatehouse/internal/telemetry"
)

type serveCommand struct{ Config }

// Run is the gateway's life from start to stop.
func (c *serveCommand) Run(ctx context.Context, t *terminal) error {
	started := time.Now()
	log, err := c.logger(t.err)
	if err != nil {
		return err
	}
	app, err := Open(ctx, &c.Config, log)
	if err != nil {
		return err
	}
	defer app.Close()
	log.Info("gatehouse is ready", "version", version(), "addr", app.public.Addr().String(), "admin_addr", c.AdminAddr, "ops_addr", c.OpsAddr,
		"database", c.databaseKind(), "nats", c.natsKind(), "nats_addr", app.natsAddr(), "doorflow", c.doorflow(), "took_ms", time.Since(started).Milliseconds())
	if err := app.Run(ctx); err != nil {
		return err
	}
	log.Info("gatehouse has stopped")
	return nil
}

func (c *Config) databaseKind() string {
	if c.DatabaseURL.IsZero() {
		return "sqlite"
	}
	return "postgres"
}

func (c *Config) natsKind() string {
	if c.NATSURL == "" {
		return "embedded"
	}
	return "external"
}

// logger writes text to a terminal and JSON elsewhere, unless told otherwise.
func (c *Config) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, fmt.Errorf("GATEHOUSE_LOG_LEVEL: %w", err)
	}
	format := c.LogFormat
	if format == "" {
		format = "json"
		if isTerminal(w) {
			format = "text"
		}
	}
	return telemetry.NewLogger(w, format, level), nil
}
