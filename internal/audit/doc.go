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
// Table: audit_log.
package audit
