package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gatehouse/keys"
)

type keyCommands struct {
	Status keysStatus  `cmd:"" default:"withargs" help:"Show which keys there are, what they seal, and how far a rotation has come."`
	Rotate keysRotate  `cmd:"" help:"Seal everything with a new key, or go on with that. Safe to interrupt anywhere."`
	Drop   keysDrop    `cmd:"" help:"Take the old keys out of the key set. Backups made before the last rotation then need a key set from before."`
	File   keysetEdits `cmd:"" help:"Make the next version of a key set file by hand, where the gateway cannot replace it."`
}

type keysStatus struct {
	besideOrAlone
	JSON bool `env:"-" help:"Print JSON."`
}

func (c *keysStatus) Run(ctx context.Context, t *terminal) error {
	return c.withKeys(ctx, t, func(k keeper) error {
		s, err := k.Status(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(t.out, s)
		}
		return printKeys(t, s)
	})
}

func printKeys(t *terminal, s keys.Status) error {
	all := t.table("KEY", "STATE", "VALUES", "MADE", "SEALS SINCE")
	for _, k := range s.Keys {
		all.row(k.ID, k.State, k.Values, k.CreatedAt, k.CurrentSince)
	}
	sealed := t.table("SEALED", "KEY", "VALUES")
	for _, v := range s.Sealed {
		if v.Values > 0 {
			sealed.row(v.Table+"."+v.Field, v.Key, v.Values)
		}
	}
	replicas := t.table("REPLICA", "SEALS WITH", "HOLDS", "KEY SET FILE")
	for _, r := range s.Replicas {
		file := "replaced by the gateway"
		if !r.Replaceable {
			file = "replaced by the operator"
		}
		replicas.row(r.Name, r.Seals, strings.Trim(fmt.Sprint(r.Keys), "[]"), cmp.Or(r.Error, file))
	}
	for i, w := range []*table{all, sealed, replicas} {
		if i > 0 {
			fmt.Fprintln(t.out)
		}
		if err := w.print(); err != nil {
			return err
		}
	}
	if s.Rotation == nil {
		return nil
	}
	_, err := fmt.Fprintf(t.out, "\n%s\n", printable(describe(s.Rotation)))
	return err
}

// describe is a rotation in one line.
func describe(r *keys.Rotation) string {
	line := "Rotation " + r.State
	switch {
	case r.State == keys.StateDone:
		line = fmt.Sprintf("The last rotation ended %s", local(r.FinishedAt))
	case r.Total > 0:
		line += fmt.Sprintf(": %d of %d values sealed again", r.Done, r.Total)
	}
	if r.WaitsFor != "" {
		line += "; it waits for " + r.WaitsFor
	}
	if r.Error != "" {
		line += "; " + r.Error
	}
	return line + "."
}

type keysRotate struct {
	besideOrAlone
	DropOld bool `env:"-" help:"At the end take the old keys out of the key set. Backups made before then need a key set from before."`
	JSON    bool `env:"-" help:"Print JSON: a line for each step, and at the end one that says how the keys stand."`
}

func (c *keysRotate) Run(ctx context.Context, t *terminal) error {
	return c.withKeys(ctx, t, func(k keeper) error {
		s, err := k.Rotate(ctx, c.DropOld)
		if err != nil {
			return err
		}
		return follow(ctx, t, k, s, c.JSON)
	})
}

type keysDrop struct {
	besideOrAlone
	JSON bool `env:"-" help:"Print JSON: a line for each step, and at the end one that says how the keys stand."`
}

func (c *keysDrop) Run(ctx context.Context, t *terminal) error {
	return c.withKeys(ctx, t, func(k keeper) error {
		s, err := k.Drop(ctx)
		if err != nil {
			return err
		}
		return follow(ctx, t, k, s, c.JSON)
	})
}

// keeper is a gateway that is asked, or a data directory that is open.
type keeper interface {
	Status(context.Context) (keys.Status, error)
	Rotate(ctx context.Context, dropOld bool) (keys.Status, error)
	Drop(context.Context) (keys.Status, error)
}

const (
	followEvery = 300 * time.Millisecond
	// followWithout is how long a gateway that is being restarted is waited for.
	followWithout = time.Minute
)

var errInterrupted = errors.New("interrupted; nothing is lost: gatehouse keys rotate goes on with it")

// follow shows a rotation until it has ended.
func follow(ctx context.Context, t *terminal, k keeper, s keys.Status, asJSON bool) error {
	p := progress{out: t.out, live: obeys(t.out) && !asJSON, json: asJSON}
	heard := time.Now()
	for s.Rotation.Open() {
		if err := p.show(s.Rotation); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			p.end()
			return errInterrupted
		case <-time.After(followEvery):
		}
		again, err := k.Status(ctx)
		if err == nil {
			s, heard = again, time.Now()
		} else if refused, _ := errors.AsType[problem](err); (refused.Status >= 400 && refused.Status < 500) || time.Since(heard) > followWithout {
			p.end()
			return err
		}
	}
	p.end()
	if asJSON {
		if err := writeJSONLine(t.out, s); err != nil {
			return err
		}
	} else if s.Rotation.Error == "" {
		if _, err := fmt.Fprintf(t.out, "Key %d seals; %d values were sealed again.%s\n", s.Current, s.Rotation.Done, remaining(s)); err != nil {
			return err
		}
	}
	if s.Rotation.Error != "" {
		return errors.New(s.Rotation.Error)
	}
	return nil
}

// remaining says what is left of the old keys.
func remaining(s keys.Status) string {
	var old []string
	for _, k := range s.Keys {
		if k.State == keys.KeyOld {
			old = append(old, fmt.Sprint(k.ID))
		}
	}
	if len(old) == 0 {
		return ""
	}
	return fmt.Sprintf(" The key set still holds %s, for backups made before; gatehouse keys drop takes it out.", strings.Join(old, ", "))
}

// progress prints a line that changes on a terminal, and plain lines elsewhere.
type progress struct {
	out        io.Writer
	live, json bool
	last       string
}

func (p *progress) show(r *keys.Rotation) error {
	line := describe(r)
	if p.json && line != p.last {
		p.last = line
		return writeJSONLine(p.out, r)
	}
	return p.line(line)
}

func (p *progress) line(line string) (err error) {
	if line == p.last {
		return nil
	}
	if p.last = line; p.live {
		_, err = fmt.Fprintf(p.out, "\r\x1b[K%s", printable(line))
	} else {
		_, err = fmt.Fprintln(p.out, printable(line))
	}
	return err
}

func (p *progress) end() {
	if p.live && p.last != "" {
		fmt.Fprintln(p.out)
	}
}
