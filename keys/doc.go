// Package keys watches over the key set and exchanges the key that seals, on all replicas, while they work.
//
// A Ring belongs to one process. It reads the key set file again when it changes, learns from the database
// which key seals, and reports what this process holds. A rotation is a row that any of the processes
// carries on, under a lease, through these states:
//
//	adding     a new key comes into the key set file, and every live replica holds it
//	switching  the database names the new key as the one that seals; every live replica does so
//	resealing  every value sealed with another key is sealed again, in small steps
//	dropping   where asked for: the old keys leave the key set file, and every live replica's memory
//	done
//
// The database names a new key only in a transaction that finds it with every live replica; a process that
// starts registers itself under the same lock. So no live replica ever meets a value whose key it lacks. A
// value is replaced by comparing with what was read, so a token refreshed meanwhile is never overwritten.
//
// Tables: vault_replicas, key_rotations, and vault_keys together with package vault.
//
// On a crash: each step is one replacement of the file or one transaction, and finds out from the file and
// the database what is still to be done; any process goes on from there. What cannot be done (a full disk, a
// file that only the operator may replace) is noted in the rotation's row and tried again every second.
//
// What it does not do: hand keys from replica to replica. Replicas that do not share the file get it from
// the operator, and the rotation waits for that.
package keys
