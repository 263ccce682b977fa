-- +goose Up
-- The keys that programs call the API with. accounts and identities are JSON lists; NULL means all. An
-- expires_at that is NULL means never.
CREATE TABLE api_keys (
    id         TEXT NOT NULL PRIMARY KEY,
    hash       BYTEA NOT NULL,
    name       TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    accounts   TEXT,
    identities TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);

-- +goose Down
DROP TABLE api_keys;
