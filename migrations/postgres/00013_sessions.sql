-- +goose Up
-- Who is signed in to the dashboard. Of the cookie only the SHA-256 is here. key_id is the API key that a session
-- stands for, and stamp tells one admin token from the next. Times are Unix milliseconds.
CREATE TABLE sessions (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    key_id     TEXT NOT NULL,
    stamp      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_key ON sessions (key_id, created_at);

-- Links that sign a browser in, once.
CREATE TABLE sign_in_links (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    key_id     TEXT NOT NULL,
    stamp      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- The dashboard names what NATS refused for good.
CREATE INDEX messages_parked ON messages (id) WHERE parked IS NOT NULL;

-- +goose Down
DROP INDEX messages_parked;
DROP TABLE sign_in_links;
DROP TABLE sessions;
