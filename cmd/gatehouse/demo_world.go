package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/vault"
)

// What the gateway is registered as at the two clouds.
const (
	demoClient = "demo-client"
	demoSecret = "demo-secret"
	demoIssuer = "https://demo.gatehouse.example/"
	demoKeyID  = "demo-1"
)

// start brings up the simulators and the gateway, each on a free port of the loopback address. Listeners are
// taken once and handed over, so that another demo that starts at the same time takes others.
func (d *demo) start(ctx context.Context, dir string, logs io.Writer) error {
	gateway, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		gateway, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return err
	}
	public := "http://" + gateway.Addr().String()
	doorflow, err := d.startDoorFlow(ctx, public)
	if err != nil {
		_ = gateway.Close()
		return err
	}
	doordeck, keyFile, err := d.startDoordeck(ctx, dir)
	if err != nil {
		_ = gateway.Close()
		return err
	}
	token := make([]byte, 24)
	_, _ = rand.Read(token) // it never fails: it ends the program instead
	d.api.Token = vault.NewSecret("demo_" + base64.RawURLEncoding.EncodeToString(token))
	config, err := newConfig(map[string]string{
		"addr": gateway.Addr().String(), "ops-addr": "", "nats-listen": "127.0.0.1:0", "public-url": public,
		"data-dir": filepath.Join(dir, "data"), "admin-token": d.api.Token.Reveal(),
		"doorflow-client-id": demoClient, "doorflow-client-secret": demoSecret,
		"doorflow-api-url": doorflow, "doorflow-authorize-url": doorflow + "/oauth/authorize",
		"doordeck-api-url": doordeck, "doordeck-issuer": demoIssuer, "doordeck-key-id": demoKeyID, "doordeck-signing-key-file": keyFile,
		"egress-allow": "127.0.0.1/32", // where the building is
	})
	if err != nil {
		_ = gateway.Close()
		return err
	}
	config.public = gateway
	d.api.URL = config.PublicURL
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if d.app, err = Open(ctx, config, log); err != nil {
		return err
	}
	d.group.Go(func() error { return d.app.Run(ctx) })
	return nil
}

func (d *demo) startDoorFlow(ctx context.Context, gateway string) (origin string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	origin = "http://" + listener.Addr().String()
	d.doorflow = doorflowsim.New(doorflowsim.Options{
		ClientID: demoClient, ClientSecret: demoSecret, AppName: "Gatehouse demo", PublicURL: origin,
		WebhookURL: gateway + "/webhooks/doorflow", RedirectURIs: []string{gateway + "/oauth/callback"},
	})
	d.group.Go(func() error { return d.doorflow.Run(ctx) })
	d.group.Go(func() error { return serveSimulator(ctx, listener, d.doorflow) })
	return origin, nil
}

// startDoordeck makes a new key for the application, whose public half Doordeck is told.
func (d *demo) startDoordeck(ctx context.Context, dir string) (origin, keyFile string, err error) {
	keyFile = filepath.Join(dir, "application.pem")
	key, err := makeEd25519(keyFile)
	if err != nil {
		return "", "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	d.doordeck = doordecksim.New(doordecksim.Options{
		Empty:        true,
		Applications: []doordecksim.Application{{Issuer: demoIssuer, Keys: []doordecksim.Key{{ID: demoKeyID, Public: key.Public()}}}},
	})
	d.group.Go(func() error { return d.doordeck.Run(ctx) })
	d.group.Go(func() error { return serveSimulator(ctx, listener, d.doordeck) })
	return "http://" + listener.Addr().String(), keyFile, d.furnish()
}

// firstWords keeps the beginning of the gateway's log, to be shown if the demo fails. Otherwise it would drown the
// story, in which things go wrong on purpose.
type firstWords struct {
	mu   sync.Mutex
	text bytes.Buffer
}

const maxFirstWords = 64 << 10

func (f *firstWords) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text.Len()+len(p) <= maxFirstWords {
		f.text.Write(p)
	}
	return len(p), nil
}

func (f *firstWords) show(w io.Writer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.text.WriteTo(w)
	return err
}
