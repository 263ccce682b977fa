package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/sharing"
)

const (
	bramDeWit    = 4836
	toolsForBram = "tools-for-bram" // the share, as its caller calls it
)

// offline shares a door that cannot be reached: Doordeck keeps the share for it. Then the door is back, and the
// story goes on while the gateway finds out.
func (d *demo) offline(ctx context.Context) error {
	if err := d.doordeck.SetOnline(toolStore, false); err != nil {
		return err
	}
	d.tell("The Tool Store loses its network. Ada shares it with Bram de Wit all the same, over HTTP.")
	in := map[string]any{
		"id": toolsForBram, "type": sharing.Share, "lock": toolStore, "valid_for": "24h",
		"invitees": []map[string]string{{"email": foreignKey(bramDeWit) + "@example.test"}},
	}
	var a sharing.Answer
	if err := d.api.do(ctx, http.MethodPost, identityPath(ada, "/operations"), nil, in, &a); err != nil {
		return fmt.Errorf("sharing the Tool Store: %w", err)
	}
	if _, err := d.outcome(ctx, "the share of the Tool Store, which is offline,", toolsForBram, sharing.Queued); err != nil {
		return err
	}
	if _, has := d.access(toolStore, foreignKey(bramDeWit)); has || !d.toolStoreShare(doordecksim.Queued) {
		return errors.New("the gateway says that the share of the Tool Store is queued, and Doordeck has none that waits for the door")
	}
	d.tell("Queued: Doordeck keeps the signed share for the door, for a day at most.")
	if err := d.doordeck.SetOnline(toolStore, true); err != nil {
		return err
	}
	d.tell("The door is back. The gateway looks every seven seconds; meanwhile the story goes on.")
	return nil
}

// toolStoreShare tells whether Doordeck has a share of the tool store with this outcome.
func (d *demo) toolStoreShare(outcome string) bool {
	return slices.ContainsFunc(d.doordeck.Ledger(), func(e doordecksim.LedgerEntry) bool {
		return e.Lock == toolStore && e.Outcome == outcome && len(e.Targets) == 1
	})
}

// back is where the share that was queued is confirmed.
func (d *demo) back(ctx context.Context) error {
	if _, err := d.outcome(ctx, "the share of the Tool Store, which is back,", toolsForBram, sharing.Confirmed); err != nil {
		return err
	}
	if _, has := d.access(toolStore, foreignKey(bramDeWit)); !has || !d.toolStoreShare(doordecksim.Applied) {
		return errors.New("the gateway says that the share of the Tool Store is confirmed, and Doordeck's list of its users does not show Bram de Wit")
	}
	d.tell("Confirmed: the Tool Store opens for Bram de Wit.")
	// Of the twenty events before, nothing has been said again meanwhile.
	return d.desk.ear.await(ctx, func(all []heard) (bool, error) { return everything(all, d.happened) })
}
