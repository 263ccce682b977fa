-- +goose Up
-- Doordeck administrators that the gateway signs as. signing_key with its chain serves; next_key waits to be
-- registered or proven by a code. Both are sealed. Times are Unix milliseconds, 0 for none. A deleted
-- identity leaves its name behind.
CREATE TABLE identities (
    name               TEXT NOT NULL PRIMARY KEY,
    version            INTEGER NOT NULL DEFAULT 0,
    status             TEXT NOT NULL,
    reason             TEXT NOT NULL DEFAULT '',
    detail             TEXT NOT NULL DEFAULT '',
    subject            TEXT NOT NULL,
    email              TEXT NOT NULL,
    email_verified     INTEGER NOT NULL,
    telephone          TEXT NOT NULL,
    telephone_verified INTEGER NOT NULL,
    display_name       TEXT NOT NULL,
    user_id            TEXT NOT NULL DEFAULT '',
    signing_key        BLOB,
    chain              TEXT NOT NULL DEFAULT '',
    serves_until       INTEGER NOT NULL DEFAULT 0,
    renew_at           INTEGER NOT NULL DEFAULT 0,
    next_key           BLOB,
    method             TEXT NOT NULL DEFAULT '',
    code_sent_at       INTEGER NOT NULL DEFAULT 0,
    wrong_codes        INTEGER NOT NULL DEFAULT 0,
    wait_until         INTEGER NOT NULL DEFAULT 0,
    due_at             INTEGER NOT NULL,
    attempts           INTEGER NOT NULL DEFAULT 0,
    created_at         INTEGER NOT NULL,
    registered_at      INTEGER NOT NULL DEFAULT 0,
    checked_at         INTEGER NOT NULL DEFAULT 0,
    deleted_at         INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What no second identity may have, also after the first was deleted: a MAC of the subject, email or
-- telephone.
CREATE TABLE identity_claims (
    kind     TEXT NOT NULL,
    mac      BLOB NOT NULL,
    identity TEXT NOT NULL,
    PRIMARY KEY (kind, mac)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE identity_claims;
DROP TABLE identities;
