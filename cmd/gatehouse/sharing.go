package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"gatehouse/doordeck"
	"gatehouse/sharing"
	"gatehouse/web"
)

// doordeck tells whether the Doordeck parts are on.
func (c *Config) doordeck() bool { return c.DoordeckIssuer != "" }

func (c *Config) checkDoordeck() error {
	switch {
	case !c.doordeck() && c.DoordeckSigningKeyFile != "":
		return fault("DOORDECK_ISSUER", "is missing beside the signing key")
	case !c.doordeck() && c.DoordeckKeyID != "":
		return fault("DOORDECK_ISSUER", "is missing beside the key id")
	case c.doordeck() && c.DoordeckSigningKeyFile == "":
		return fault("DOORDECK_SIGNING_KEY_FILE", "is missing beside the issuer")
	}
	return nil
}

// maxKeyFile bounds what is read of the signing key's file.
const maxKeyFile = 64 << 10

// applicationKey reads the key that signs the identities' auth tokens. Others must not be able to read it.
func (c *Config) applicationKey() (doordeck.ApplicationKey, error) {
	key, err := readApplicationKey(c.DoordeckSigningKeyFile, c.DoordeckKeyID)
	if err != nil {
		return key, fault("DOORDECK_SIGNING_KEY_FILE", "%s", err)
	}
	return key, nil
}

func readApplicationKey(path, id string) (doordeck.ApplicationKey, error) {
	file, err := os.Open(path)
	if err != nil {
		return doordeck.ApplicationKey{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return doordeck.ApplicationKey{}, err
	case !info.Mode().IsRegular():
		return doordeck.ApplicationKey{}, fmt.Errorf("%s is not a file", path)
	case info.Mode().Perm()&0o077 != 0:
		return doordeck.ApplicationKey{}, fmt.Errorf("%s is open to others than its owner (%04o); chmod 600 it", path, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return doordeck.ApplicationKey{}, err
	}
	return doordeck.ParseKey(data, id)
}

// doordeckClient calls the configured API through a transport, nil for the usual one.
func (c *Config) doordeckClient(transport http.RoundTripper) (*doordeck.Client, error) {
	client, err := doordeck.NewClient(doordeck.Config{URL: c.DoordeckAPIURL.String(), Transport: transport})
	if err != nil {
		return nil, fault("DOORDECK_API_URL", "%s", err)
	}
	return client, nil
}

// openDoordeck puts together what speaks with Doordeck, where an application is configured.
func (a *App) openDoordeck(context.Context) error {
	if !a.config.doordeck() {
		a.log.Warn("Doordeck is off: set GATEHOUSE_DOORDECK_ISSUER, GATEHOUSE_DOORDECK_SIGNING_KEY_FILE and GATEHOUSE_DOORDECK_KEY_ID")
		return nil
	}
	key, err := a.config.applicationKey()
	if err != nil {
		return err
	}
	client, err := a.config.doordeckClient(a.tracing.Transport(doordeck.NewTransport()))
	if err != nil {
		return err
	}
	a.identities = sharing.NewIdentities(sharing.IdentitiesConfig{
		DB: a.db, Events: a.events, Vault: a.vault, Audit: a.audit, Client: client,
		Issuer: a.config.DoordeckIssuer, Key: key, Registerer: a.registry, Log: a.log,
	})
	a.operations = sharing.NewOperations(sharing.OperationsConfig{
		DB: a.db, Events: a.events, Vault: a.vault, Identities: a.identities, Registerer: a.registry, Log: a.log,
	})
	a.openRoads()
	return nil
}

// authority is what a request's key may ask of doors.
func authority(ctx context.Context) sharing.Authority {
	caller, ok := web.CallerFrom(ctx)
	if !ok {
		return sharing.OfScopes("", nil, []string{})
	}
	return sharing.OfScopes(caller.Name, caller.Scopes, caller.Identities)
}
