package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Embedded is a nats-server with JetStream inside this process. It does not listen: the gateway reaches
// it through memory. Its store is synced every second; what a power loss takes from it the relay puts
// back out of the log, which is synced before any webhook is answered.
type Embedded struct {
	dir string
	log *slog.Logger

	mu     sync.Mutex
	server *server.Server
}

// StartEmbedded starts the server on a store below dir and waits until it is ready.
func StartEmbedded(dir string, log *slog.Logger) (*Embedded, error) {
	e := &Embedded{dir: dir, log: log}
	return e, e.Start()
}

// Start starts the server after Stop.
func (e *Embedded) Start() error {
	s, err := server.NewServer(&server.Options{
		ServerName: "gatehouse",
		DontListen: true,
		JetStream:  true,
		StoreDir:   e.dir,
		// The server would otherwise take this process's signals, and a share of the disk's free
		// space as its limit; the streams have limits of their own.
		NoSigs:             true,
		JetStreamMaxStore:  1 << 40,
		JetStreamMaxMemory: 64 << 20,
		SyncInterval:       time.Second,
		MaxPayload:         1 << 20,
	})
	if err != nil {
		return fmt.Errorf("starting the embedded NATS server: %w", err)
	}
	s.SetLoggerV2(natsLog{e.log}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(10*time.Second) || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return fmt.Errorf("starting the embedded NATS server: JetStream cannot use %s", e.dir)
	}
	e.mu.Lock()
	e.server = s
	e.mu.Unlock()
	return nil
}

// InProcessConn lets nats.go connect, and connect again after a restart.
func (e *Embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return nil, errors.New("the embedded NATS server is not running")
	}
	return e.server.InProcessConn()
}

// Run watches over the server until ctx ends: when the disk was full, JetStream turns itself off, or a
// stream takes no message any more, also long after the disk was cleared. Only a new start helps.
func (e *Embedded) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		e.mu.Lock()
		s := e.server
		e.mu.Unlock()
		if s != nil && s.Running() && s.JetStreamEnabled() && !writeFailed(s) {
			continue
		}
		e.log.Warn("JetStream has stopped, most often for want of disk space; starting it again")
		e.Stop()
		if err := e.Start(); err != nil {
			e.log.Error("JetStream did not start", "error", err)
		}
	}
}

// writeFailed tells whether a stream's store keeps an error of an earlier write.
func writeFailed(s *server.Server) bool {
	return strings.Contains(s.Healthz(&server.HealthzOptions{}).Error, "write error")
}

// Stop ends the server, syncing its store.
func (e *Embedded) Stop() {
	e.mu.Lock()
	s := e.server
	e.server = nil
	e.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// natsLog writes the server's log into ours. Its notices are about its own start and stop.
type natsLog struct{ log *slog.Logger }

func (l natsLog) Noticef(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }

func (l natsLog) Warnf(format string, v ...any) { l.log.Warn("nats: " + fmt.Sprintf(format, v...)) }

func (l natsLog) Fatalf(format string, v ...any) { l.log.Error("nats: " + fmt.Sprintf(format, v...)) }

func (l natsLog) Errorf(format string, v ...any) { l.log.Error("nats: " + fmt.Sprintf(format, v...)) }

func (l natsLog) Debugf(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Tracef(string, ...any)          {}
