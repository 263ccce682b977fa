-- +goose Up
-- URLs of building-management systems that want messages. subjects is a JSON list of patterns; accounts and
-- identities are the limits of the key that made the endpoint, JSON lists or NULL for all. secret and
-- old_secret are sealed; the old one signs too until old_secret_until. began says where each writer's log
-- stood (JSON object, writer to head) when the endpoint was made or enabled again: what had been said before is
-- not for it. Times are Unix milliseconds, 0 for none. failures are those since the last success; told is 1
-- once the world has been told that it fails.
CREATE TABLE endpoints (
    id               TEXT NOT NULL PRIMARY KEY,
    url              TEXT NOT NULL,
    description      TEXT NOT NULL,
    subjects         TEXT NOT NULL,
    enabled          BIGINT NOT NULL,
    ordered          BIGINT NOT NULL,
    concurrency      BIGINT NOT NULL,
    accounts         TEXT,
    identities       TEXT,
    made_by          TEXT NOT NULL,
    secret           BYTEA NOT NULL,
    old_secret       BYTEA,
    old_secret_until BIGINT NOT NULL DEFAULT 0,
    began            TEXT NOT NULL,
    disabled_reason  TEXT NOT NULL DEFAULT '',
    failing_since    BIGINT NOT NULL DEFAULT 0,
    failures         BIGINT NOT NULL DEFAULT 0,
    told             BIGINT NOT NULL DEFAULT 0,
    last_error       TEXT NOT NULL DEFAULT '',
    last_success_at  BIGINT NOT NULL DEFAULT 0,
    last_failure_at  BIGINT NOT NULL DEFAULT 0,
    created_at       BIGINT NOT NULL,
    changed_at       BIGINT NOT NULL
);

-- One row that every change of what endpoints are counts up, so that a replica learns by reading one number
-- whether what it has in memory still holds.
CREATE TABLE endpoint_version (
    id      BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);
INSERT INTO endpoint_version (id, version) VALUES (1, 0);

-- +goose Down
DROP TABLE endpoint_version;
DROP TABLE endpoints;
