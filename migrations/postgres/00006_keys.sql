-- +goose Up
-- The keys of the key set by their ids; the keys themselves are in its file. One of them seals.
CREATE TABLE vault_keys (
    id         BIGINT NOT NULL PRIMARY KEY,
    current    BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    current_at BIGINT NOT NULL DEFAULT 0,
    dropped_at BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX vault_keys_current ON vault_keys (current) WHERE current = 1;

-- What each running process holds of the key set. Key ids are separated by spaces.
CREATE TABLE vault_replicas (
    holder        TEXT NOT NULL PRIMARY KEY,
    name          TEXT NOT NULL,
    keys          TEXT NOT NULL,
    seals         BIGINT NOT NULL,
    sealing_since BIGINT NOT NULL,
    replaceable   BIGINT NOT NULL,
    error         TEXT NOT NULL,
    expires_at    BIGINT NOT NULL
);

-- At most one rotation is open.
CREATE TABLE key_rotations (
    id          BIGINT NOT NULL PRIMARY KEY,
    open        BIGINT NOT NULL,
    state       TEXT NOT NULL,
    new_key     BIGINT NOT NULL,
    drop_old    BIGINT NOT NULL,
    done        BIGINT NOT NULL DEFAULT 0,
    total       BIGINT NOT NULL DEFAULT 0,
    waits_for   TEXT NOT NULL DEFAULT '',
    error       TEXT NOT NULL DEFAULT '',
    started_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX key_rotations_open ON key_rotations (open) WHERE open = 1;

-- +goose Down
DROP TABLE key_rotations;
DROP TABLE vault_replicas;
DROP TABLE vault_keys;
