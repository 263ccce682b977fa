-- +goose Up
-- The keys of the key set by their ids; the keys themselves are in its file. One of them seals.
CREATE TABLE vault_keys (
    id         INTEGER NOT NULL PRIMARY KEY,
    current    INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    current_at INTEGER NOT NULL DEFAULT 0,
    dropped_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX vault_keys_current ON vault_keys (current) WHERE current = 1;

-- What each running process holds of the key set. Key ids are separated by spaces.
CREATE TABLE vault_replicas (
    holder        TEXT NOT NULL PRIMARY KEY,
    name          TEXT NOT NULL,
    keys          TEXT NOT NULL,
    seals         INTEGER NOT NULL,
    sealing_since INTEGER NOT NULL,
    replaceable   INTEGER NOT NULL,
    error         TEXT NOT NULL,
    expires_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- At most one rotation is open.
CREATE TABLE key_rotations (
    id          INTEGER NOT NULL PRIMARY KEY,
    open        INTEGER NOT NULL,
    state       TEXT NOT NULL,
    new_key     INTEGER NOT NULL,
    drop_old    INTEGER NOT NULL,
    done        INTEGER NOT NULL DEFAULT 0,
    total       INTEGER NOT NULL DEFAULT 0,
    waits_for   TEXT NOT NULL DEFAULT '',
    error       TEXT NOT NULL DEFAULT '',
    started_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX key_rotations_open ON key_rotations (open) WHERE open = 1;

-- +goose Down
DROP TABLE key_rotations;
DROP TABLE vault_replicas;
DROP TABLE vault_keys;
