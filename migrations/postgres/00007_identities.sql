-- +goose Up
-- Doordeck administrators that the gateway signs as. signing_key with its chain serves; next_key waits to be
-- registered or proven by a code. Both are sealed. Times are Unix milliseconds, 0 for none. A deleted
-- identity leaves its name behind.
CREATE TABLE identities (
    name               TEXT NOT NULL PRIMARY KEY,
    version            BIGINT NOT NULL DEFAULT 0,
    status             TEXT NOT NULL,
    reason             TEXT NOT NULL DEFAULT '',
    detail             TEXT NOT NULL DEFAULT '',
    subject            TEXT NOT NULL,
    email              TEXT NOT NULL,
    email_verified     BIGINT NOT NULL,
    telephone          TEXT NOT NULL,
    telephone_verified BIGINT NOT NULL,
    display_name       TEXT NOT NULL,
    user_id            TEXT NOT NULL DEFAULT '',
    signing_key        BYTEA,
    chain              TEXT NOT NULL DEFAULT '',
    serves_until       BIGINT NOT NULL DEFAULT 0,
    renew_at           BIGINT NOT NULL DEFAULT 0,
    next_key           BYTEA,
    method             TEXT NOT NULL DEFAULT '',
    code_sent_at       BIGINT NOT NULL DEFAULT 0,
    wrong_codes        BIGINT NOT NULL DEFAULT 0,
    wait_until         BIGINT NOT NULL DEFAULT 0,
    due_at             BIGINT NOT NULL,
    attempts           BIGINT NOT NULL DEFAULT 0,
    created_at         BIGINT NOT NULL,
    registered_at      BIGINT NOT NULL DEFAULT 0,
    checked_at         BIGINT NOT NULL DEFAULT 0,
    deleted_at         BIGINT NOT NULL DEFAULT 0
);

-- What no second identity may have, also after the first was deleted: a MAC of the subject, email or
-- telephone.
CREATE TABLE identity_claims (
    kind     TEXT NOT NULL,
    mac      BYTEA NOT NULL,
    identity TEXT NOT NULL,
    PRIMARY KEY (kind, mac)
);

-- +goose Down
DROP TABLE identity_claims;
DROP TABLE identities;
