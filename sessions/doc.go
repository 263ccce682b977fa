// Package sessions owns who is signed in to the dashboard: sessions, and the links that open one. Tables: sessions,
// sign_in_links.
//
// A session stands for an API key and has no rights of its own. Each time it is looked at the key is too, so that a
// key that was revoked, has expired or was replaced (an admin token) ends its sessions on every replica from that
// moment on. It also ends after two hours in which nobody used it, and after twelve hours in any case.
//
// What a cookie or a link holds is 256 random bits, of which only the SHA-256 is stored. A link works for ten minutes
// and once: taking it and opening its session is one commit. So is ending the session that the same browser had before,
// and the oldest of a key that has fifty. Opening and ending are recorded in the audit log, in the
// commit that does it; after a crash they have wholly happened or not at all. When a session was last used is stored
// once a minute at most, and may be forgotten by a crash.
package sessions
