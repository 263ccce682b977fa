-- +goose Up
-- Times are Unix milliseconds. Sealed columns hold AEAD ciphertext bound to their table, row and field.

CREATE TABLE vault_secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL
);

CREATE TABLE leases (
    name       TEXT NOT NULL PRIMARY KEY,
    holder     TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- One row per process start. holder relays the writer's messages; a fenced writer appends no more.
CREATE TABLE writers (
    id         BIGINT NOT NULL PRIMARY KEY,
    holder     TEXT NOT NULL,
    fenced     BIGINT NOT NULL DEFAULT 0,
    head       BIGINT NOT NULL DEFAULT 0,
    commits    BIGINT NOT NULL DEFAULT 0,
    expires_at BIGINT NOT NULL
);

CREATE TABLE messages (
    writer  BIGINT NOT NULL,
    seq     BIGINT NOT NULL,
    id      TEXT NOT NULL,
    account TEXT NOT NULL,
    subject TEXT NOT NULL,
    at      BIGINT NOT NULL,
    body    BYTEA NOT NULL,
    parked  TEXT,
    PRIMARY KEY (writer, seq)
);
CREATE UNIQUE INDEX messages_id ON messages (id);

-- The newest checkpoint of a writer is the relay's cursor for it.
CREATE TABLE relay_checkpoints (
    writer         BIGINT NOT NULL,
    seq            BIGINT NOT NULL,
    message_id     TEXT NOT NULL,
    stream_seq     BIGINT NOT NULL,
    stream_created BIGINT NOT NULL,
    at             BIGINT NOT NULL,
    PRIMARY KEY (writer, seq)
);

CREATE TABLE notifications (
    key           BYTEA NOT NULL PRIMARY KEY,
    account       TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id   TEXT NOT NULL,
    action        TEXT NOT NULL,
    path          TEXT NOT NULL,
    ack_token     TEXT NOT NULL,
    callback      TEXT NOT NULL,
    flag          TEXT NOT NULL,
    state         TEXT NOT NULL,
    due_at        BIGINT NOT NULL,
    attempts      BIGINT NOT NULL DEFAULT 0,
    deliveries    BIGINT NOT NULL DEFAULT 1,
    error         TEXT NOT NULL DEFAULT '',
    message_id    TEXT NOT NULL,
    received_at   BIGINT NOT NULL
);
CREATE INDEX notifications_open ON notifications (account, due_at) WHERE state = 'open';
CREATE INDEX notifications_settled ON notifications (received_at) WHERE state IN ('done', 'gone', 'flagged');
CREATE INDEX notifications_parked ON notifications (account) WHERE state = 'parked';

CREATE TABLE events (
    account    TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    message_id TEXT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (account, event_id)
);
CREATE INDEX events_at ON events (at);

CREATE TABLE credentials (
    account       TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    version       BIGINT NOT NULL,
    digest        BYTEA NOT NULL,
    destroyed     BIGINT NOT NULL,
    at            BIGINT NOT NULL,
    PRIMARY KEY (account, credential_id)
);

CREATE TABLE connections (
    account       TEXT NOT NULL PRIMARY KEY,
    status        TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    generation    BIGINT NOT NULL DEFAULT 0,
    pair          BIGINT NOT NULL DEFAULT 0,
    access_token  BYTEA,
    refresh_token BYTEA,
    revoke_token  BYTEA,
    revoke_until  BIGINT NOT NULL DEFAULT 0,
    expires_at    BIGINT NOT NULL DEFAULT 0,
    scopes        TEXT NOT NULL DEFAULT '',
    forbidden     TEXT NOT NULL DEFAULT '',
    created_at    BIGINT NOT NULL,
    connected_at  BIGINT NOT NULL DEFAULT 0,
    refreshed_at  BIGINT NOT NULL DEFAULT 0
);

-- When an account's webhooks last came; apart from connections, so that accepting never waits for them.
CREATE TABLE webhook_seen (
    account TEXT NOT NULL PRIMARY KEY,
    at      BIGINT NOT NULL
);

CREATE TABLE connect_links (
    id            TEXT NOT NULL PRIMARY KEY,
    status        TEXT NOT NULL,
    error         TEXT NOT NULL DEFAULT '',
    return_url    TEXT NOT NULL,
    reference     TEXT NOT NULL,
    account       TEXT NOT NULL,
    connected     TEXT NOT NULL DEFAULT '',
    code_hash     BYTEA,
    access_token  BYTEA,
    refresh_token BYTEA,
    token_expires BIGINT NOT NULL DEFAULT 0,
    scopes        TEXT NOT NULL DEFAULT '',
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);

CREATE TABLE oauth_states (
    state_hash   BYTEA NOT NULL PRIMARY KEY,
    link         TEXT NOT NULL,
    verifier     BYTEA NOT NULL,
    browser_hash BYTEA NOT NULL,
    expires_at   BIGINT NOT NULL
);

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
