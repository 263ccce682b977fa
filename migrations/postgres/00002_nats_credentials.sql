-- +goose Up
-- What each credential of the embedded NATS server may do (JSON), and the public key of its account. No
-- private key is kept. Times are Unix milliseconds.
CREATE TABLE nats_credentials (
    name       TEXT NOT NULL PRIMARY KEY,
    account    TEXT NOT NULL,
    granted    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE nats_credentials;
