// Package audit records who did what, from where, and how it ended.
//
// What changes the gateway's own state is recorded by Record in the very transaction that changes it: both
// are on disk or neither is. What takes effect elsewhere, such as a write to DoorFlow, is recorded twice by
// Log.Write: as started before it leaves, and with its outcome afterwards, in a second entry that names the
// first. When the first cannot be stored, the thing is not done.
//
// On a crash: an entry that was stored stays. A started entry that no other names says that the gateway
// ended before it learned, or could note, how it went: it may or may not have happened.
//
// Entries are never changed or removed; triggers in the database refuse it. They hold no tokens, bodies,
// query values, PINs or ids of connect links; whoever records an entry sees to that, and Target is where to
// take care.
//
// Whoever can write to the database could still do both, so entries stand in chains: each is signed, by a key
// that is sealed in the vault and not in the database's clear, together with the one before it. A chain has one
// writer at a time, the transaction that holds its lock, so that its entries stand in the order of the commits;
// who finds a chain taken uses the next, and waits for nobody. On SQLite there is one chain, which every start
// goes on with; on PostgreSQL as many as there ever were transactions at once. Each entry also says where the
// other chains stood. Verify finds entries that were changed, removed, inserted or moved, and chains that were
// cut off, if anything that is left knows more of them. All chains cut off to one earlier moment are the database
// of that moment: only a head that was kept elsewhere tells, and so Herald tells the heads every minute.
//
// An entry and its place are written in one transaction, so that a crash at any moment leaves chains that verify.
//
// Table: audit_log.
package audit
