package events

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
)

// EmbeddedConfig says where the embedded server keeps its store, whom it believes and where it listens.
type EmbeddedConfig struct {
	Dir string
	Log *slog.Logger
	// Trust is who may connect; nil: only this process, without credentials, and the server does not listen.
	Trust *Trust
	// Listen is HOST:PORT, with port 0 for any free one. Empty: the server is reached through memory only.
	Listen string
	// TLS, when set, is what clients of the listener must use.
	TLS *tls.Config
}

// Trust is whom the embedded server believes.
type Trust struct {
	// Operator signs accounts; System is the account that the server itself works in.
	Operator *jwt.OperatorClaims
	System   string
	// Accounts are the accounts' JWTs by their public keys. More come by SetAccount.
	Accounts map[string]string
}

// Embedded is a nats-server with JetStream inside this process. The gateway reaches it through memory,
// others at its listener, with credentials. Its store is synced every second; what a power loss takes from
// it the relay puts back out of the log, which is synced before any webhook is answered.
type Embedded struct {
	config   EmbeddedConfig
	log      *slog.Logger
	accounts server.MemAccResolver

	mu     sync.Mutex
	server *server.Server
	listen string
}

// StartEmbedded starts the server and waits until it is ready.
func StartEmbedded(c EmbeddedConfig) (*Embedded, error) {
	e := &Embedded{config: c, log: c.Log, listen: c.Listen}
	if c.Trust != nil {
		for id, token := range c.Trust.Accounts {
			if err := e.accounts.Store(id, token); err != nil {
				return nil, err
			}
		}
	}
	return e, e.Start()
}

// ErrListening says that the server could not take its address.
var ErrListening = errors.New("the embedded NATS server cannot listen")

// Bounds of what clients may take of the server.
const (
	maxClients     = 4096
	maxClientSubs  = 1024
	maxPayload     = 1 << 20
	maxPending     = 32 << 20
	authSeconds    = 2
	startPatience  = 10 * time.Second
	startLook      = 20 * time.Millisecond
	maxControlLine = 4096
)

// Start starts the server after Stop. Whoever changes an account meanwhile waits: a client that was let in
// while the server started must not be overlooked.
func (e *Embedded) Start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	options, err := e.options()
	if err != nil {
		return err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("starting the embedded NATS server: %w", err)
	}
	log := &natsLog{log: e.log}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	if err := e.awaitReady(s, log); err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return err
	}
	e.server = s
	if addr, ok := s.Addr().(*net.TCPAddr); ok && e.listen != "" {
		e.listen = addr.String() // a port that was picked is kept when the server is started again
	}
	return nil
}

func (e *Embedded) options() (*server.Options, error) {
	listen := e.listen
	o := &server.Options{
		ServerName: "gatehouse",
		DontListen: listen == "",
		JetStream:  true,
		StoreDir:   e.config.Dir,
		// The server would otherwise take this process's signals, and a share of the disk's free
		// space as its limit; the streams have limits of their own.
		NoSigs:             true,
		JetStreamMaxStore:  1 << 40,
		JetStreamMaxMemory: 64 << 20,
		SyncInterval:       time.Second,
		MaxPayload:         maxPayload,
		MaxConn:            maxClients,
		MaxSubs:            maxClientSubs,
		MaxPending:         maxPending,
		MaxControlLine:     maxControlLine,
		AuthTimeout:        authSeconds,
	}
	if t := e.config.Trust; t != nil {
		o.TrustedOperators, o.SystemAccount, o.AccountResolver = []*jwt.OperatorClaims{t.Operator}, t.System, &e.accounts
	}
	if o.DontListen {
		return o, nil
	}
	if e.config.Trust == nil {
		return nil, errors.New("the embedded NATS server does not listen without knowing whom to let in")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("listening for NATS: %w", err)
	}
	if o.Host, o.Port = host, server.RANDOM_PORT; port != "0" {
		if o.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("listening for NATS on %s: want a port number", listen)
		}
	}
	if e.config.TLS != nil {
		o.TLS, o.TLSConfig, o.TLSTimeout = true, e.config.TLS, authSeconds
	}
	return o, nil
}

// awaitReady waits until the server and its JetStream serve, or says why they do not.
func (e *Embedded) awaitReady(s *server.Server, log *natsLog) error {
	for deadline := time.Now().Add(startPatience); !s.ReadyForConnections(startLook); {
		if why := log.fatal.Load(); why != nil {
			return fmt.Errorf("%w: %s", ErrListening, *why)
		}
		if time.Now().After(deadline) {
			break
		}
	}
	if !s.ReadyForConnections(startLook) || !s.JetStreamEnabled() {
		return fmt.Errorf("starting the embedded NATS server: JetStream cannot use %s", e.config.Dir)
	}
	return nil
}

// Addr is where the server listens, "" when it does not.
func (e *Embedded) Addr() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.listen
}

// SetAccount makes the server know an account, or changes one it knows: connections that the account no
// longer allows are closed before it returns.
func (e *Embedded) SetAccount(id, token string) error {
	claims, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return fmt.Errorf("an account for the embedded NATS server: %w", err)
	}
	if err := e.accounts.Store(id, token); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return nil
	}
	account, err := e.server.LookupAccount(id)
	if err != nil {
		return fmt.Errorf("an account for the embedded NATS server: %w", err)
	}
	e.server.UpdateAccountClaims(account, claims)
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
type natsLog struct {
	log *slog.Logger
	// fatal is why the server cannot start. In a program of its own it would end it.
	fatal atomic.Pointer[string]
}

func (l *natsLog) Noticef(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }

func (l *natsLog) Warnf(format string, v ...any) { l.say(slog.LevelWarn, format, v...) }

func (l *natsLog) Fatalf(format string, v ...any) {
	why := fmt.Sprintf(format, v...)
	l.fatal.CompareAndSwap(nil, &why)
}

func (l *natsLog) Errorf(format string, v ...any) { l.say(slog.LevelError, format, v...) }

// say notes what clients bring about at a lower level: strangers must not be able to raise an alarm.
func (l *natsLog) say(level slog.Level, format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if strings.Contains(text, " - cid:") || strings.HasPrefix(text, "Account fetch failed") {
		level = slog.LevelInfo
	}
	l.log.Log(context.Background(), level, "nats: "+text)
}

func (l *natsLog) Debugf(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l *natsLog) Tracef(string, ...any)          {}
