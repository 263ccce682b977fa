package main

import (
	"errors"
	"fmt"
	"syscall"

	"gatehouse/internal/vault"
)

// keysetEdits change no file: each writes another one. With FROM and TO on the command line there is no doubt
// which file holds which keys.
type keysetEdits struct {
	New     keysetNew     `cmd:"" help:"Make a key set of one new key."`
	Add     keysetAdd     `cmd:"" help:"Make a key set with one more key, for the gateway to rotate to."`
	Promote keysetPromote `cmd:"" help:"Make a key set with another primary key, which a new database begins with."`
	Drop    keysetDrop    `cmd:"" help:"Make a key set without a key."`
}

type keysetNew struct {
	To string `arg:"" help:"The new file, which must not exist yet; - prints the keys themselves, in clear."`
}

func (c *keysetNew) Run(t *terminal) error {
	set, err := vault.NewKeyset()
	if err != nil {
		return err
	}
	return t.writeKeyset(set, c.To)
}

type keysetAdd struct {
	From string `arg:"" help:"The key set file."`
	To   string `arg:"" help:"The new file, which must not exist yet; - prints the keys themselves, in clear."`
}

func (c *keysetAdd) Run(t *terminal) error {
	set, err := vault.ReadKeyset(c.From)
	if err == nil {
		set, _, err = set.Add()
	}
	if err != nil {
		return err
	}
	return t.writeKeyset(set, c.To)
}

type keysetPromote struct {
	From string `arg:"" help:"The key set file."`
	To   string `arg:"" help:"The new file, which must not exist yet; - prints the keys themselves, in clear."`
	Key  uint32 `env:"-" required:"" help:"The key's id."`
}

func (c *keysetPromote) Run(t *terminal) error {
	set, err := vault.ReadKeyset(c.From)
	if err == nil {
		set, err = set.Promote(c.Key)
	}
	if err != nil {
		return err
	}
	return t.writeKeyset(set, c.To)
}

type keysetDrop struct {
	From string `arg:"" help:"The key set file."`
	To   string `arg:"" help:"The new file, which must not exist yet; - prints the keys themselves, in clear."`
	Key  uint32 `env:"-" required:"" help:"The key's id. Where it is the primary one, the key that was added last becomes that."`
}

func (c *keysetDrop) Run(t *terminal) error {
	set, err := vault.ReadKeyset(c.From)
	if err == nil {
		set, err = set.Drop(c.Key)
	}
	if err != nil {
		return err
	}
	return t.writeKeyset(set, c.To)
}

func (t *terminal) writeKeyset(set *vault.Keyset, to string) error {
	if to == "-" {
		return set.Write(t.out)
	}
	if err := set.WriteNew(to); err != nil {
		if why, is := errors.AsType[syscall.Errno](err); is { // without the file beside it, which is not there yet
			err = why
		}
		return fmt.Errorf("writing %s: %w", to, err)
	}
	_, err := fmt.Fprintf(t.out, "%s holds the keys %v. Keep it as safe as what it opens.\n", printable(to), set.Keys())
	return err
}
