package main

import (
	"context"
	"encoding/json"
	"time"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

// auditMAC signs the entries of the audit log, with a key that the key set's rotation leaves as it is.
func auditMAC(v *vault.Vault) func([]byte) []byte {
	return func(data []byte) []byte { return v.MAC("audit", data) }
}

// openAudit opens the audit log, and what tells the world where it stands.
func (a *App) openAudit() {
	a.audit = &audit.Log{DB: a.db, Commit: func(ctx context.Context, change func(context.Context, *sqldb.Tx) error) error {
		// How something ended is not turned away because much else waits.
		return a.events.DoUrgent(ctx, func(ctx context.Context, tx *events.Tx) error { return change(ctx, tx.Tx) })
	}}
	a.herald = audit.NewHerald(audit.HeraldConfig{Log: a.audit, Lead: a.leadsAudit, Say: a.sayAuditHead, Registerer: a.registry, Logger: a.log})
}

// runHerald tells the heads until ctx ends, and then lets another replica go on with it at once.
func (a *App) runHerald(ctx context.Context) error {
	err := a.herald.Run(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := a.db.Release(ctx, headLease, a.events.Holder()); err != nil {
		a.log.Debug("another replica takes over telling the heads of the audit log later", "error", err)
	}
	return err
}

const headLease = "audit/head"

// leadsAudit tells whether this process is the one that publishes where the audit log stands.
func (a *App) leadsAudit(ctx context.Context) (bool, error) {
	return a.db.Acquire(ctx, headLease, a.events.Holder(), audit.HeraldLease)
}

// sayAuditHead publishes where the audit log stands. It goes past the log and into no stream: the next one comes
// in a minute.
func (a *App) sayAuditHead(head string) error {
	data, err := json.Marshal(map[string]string{"head": head})
	if err != nil {
		return err
	}
	return a.bus.Say(events.NewMessage(events.AuditHeadTopic(), time.Now(), data))
}
