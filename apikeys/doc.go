// Package apikeys owns the keys that programs call the API with: making, listing and revoking them, and
// finding the key behind what a request carries. Table: api_keys.
//
// A key is 256 random bits. Only its SHA-256 is stored; the key itself is shown once, by the answer that
// made it. It is looked up for every request and nothing is remembered in between, so a key that was
// revoked or has expired is refused by every replica from that moment on.
//
// Besides these keys there is one admin token. It is configured, and then always works; or else, on SQLite,
// it is made at the first start and kept in a file, until another admin key exists: then the file goes and
// its token stops working. Which of them works follows from the table alone, so a crash between the commit
// of an admin key and the removal of the file leaves nothing open: the next start, or the next use of the
// token, removes it.
//
// Making and revoking are one change of the log each: after a crash a key is wholly there or not at all. When a key
// was used last is stored once a minute; a crash may forget the last minute.
// What scopes and limits mean is enforced elsewhere, by web and by those whose things are asked for.
package apikeys
