-- +goose Up
-- Times are Unix milliseconds. Sealed columns hold AEAD ciphertext bound to their table, row and field.

CREATE TABLE vault_secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    name       TEXT NOT NULL PRIMARY KEY,
    holder     TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per process start. holder relays the writer's messages; a fenced writer appends no more.
CREATE TABLE writers (
    id         INTEGER NOT NULL PRIMARY KEY,
    holder     TEXT NOT NULL,
    fenced     INTEGER NOT NULL DEFAULT 0,
    head       INTEGER NOT NULL DEFAULT 0,
    commits    INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE messages (
    writer  INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    id      TEXT NOT NULL,
    account TEXT NOT NULL,
    subject TEXT NOT NULL,
    at      INTEGER NOT NULL,
    body    BLOB NOT NULL,
    parked  TEXT,
    PRIMARY KEY (writer, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX messages_id ON messages (id);

-- The newest checkpoint of a writer is the relay's cursor for it.
CREATE TABLE relay_checkpoints (
    writer         INTEGER NOT NULL,
    seq            INTEGER NOT NULL,
    message_id     TEXT NOT NULL,
    stream_seq     INTEGER NOT NULL,
    stream_created INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    PRIMARY KEY (writer, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE notifications (
    key           BLOB NOT NULL PRIMARY KEY,
    account       TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id   TEXT NOT NULL,
    action        TEXT NOT NULL,
    path          TEXT NOT NULL,
    ack_token     TEXT NOT NULL,
    callback      TEXT NOT NULL,
    flag          TEXT NOT NULL,
    state         TEXT NOT NULL,
    due_at        INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    deliveries    INTEGER NOT NULL DEFAULT 1,
    error         TEXT NOT NULL DEFAULT '',
    message_id    TEXT NOT NULL,
    received_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX notifications_open ON notifications (account, due_at) WHERE state = 'open';
CREATE INDEX notifications_settled ON notifications (received_at) WHERE state IN ('done', 'gone', 'flagged');
CREATE INDEX notifications_parked ON notifications (account) WHERE state = 'parked';

CREATE TABLE events (
    account    TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    message_id TEXT NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (account, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_at ON events (at);

CREATE TABLE credentials (
    account       TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    version       INTEGER NOT NULL,
    digest        BLOB NOT NULL,
    destroyed     INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    PRIMARY KEY (account, credential_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE connections (
    account       TEXT NOT NULL PRIMARY KEY,
    status        TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    generation    INTEGER NOT NULL DEFAULT 0,
    pair          INTEGER NOT NULL DEFAULT 0,
    access_token  BLOB,
    refresh_token BLOB,
    revoke_token  BLOB,
    revoke_until  INTEGER NOT NULL DEFAULT 0,
    expires_at    INTEGER NOT NULL DEFAULT 0,
    scopes        TEXT NOT NULL DEFAULT '',
    forbidden     TEXT NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL,
    connected_at  INTEGER NOT NULL DEFAULT 0,
    refreshed_at  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- When an account's webhooks last came; apart from connections, so that accepting never waits for them.
CREATE TABLE webhook_seen (
    account TEXT NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE connect_links (
    id            TEXT NOT NULL PRIMARY KEY,
    status        TEXT NOT NULL,
    error         TEXT NOT NULL DEFAULT '',
    return_url    TEXT NOT NULL,
    reference     TEXT NOT NULL,
    account       TEXT NOT NULL,
    connected     TEXT NOT NULL DEFAULT '',
    code_hash     BLOB,
    access_token  BLOB,
    refresh_token BLOB,
    token_expires INTEGER NOT NULL DEFAULT 0,
    scopes        TEXT NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE oauth_states (
    state_hash   BLOB NOT NULL PRIMARY KEY,
    link         TEXT NOT NULL,
    verifier     BLOB NOT NULL,
    browser_hash BLOB NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE oauth_states;
DROP TABLE connect_links;
DROP TABLE webhook_seen;
DROP TABLE connections;
DROP TABLE credentials;
DROP TABLE events;
DROP TABLE notifications;
DROP TABLE relay_checkpoints;
DROP TABLE messages;
DROP TABLE writers;
DROP TABLE leases;
DROP TABLE vault_secrets;
