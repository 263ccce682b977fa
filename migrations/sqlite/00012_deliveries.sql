-- +goose Up
-- Messages on their way to endpoints, one row for each message and endpoint. writer and seq are the message's
-- place in the log. state is waiting, delivered or parked; what waits is due at due_at, and one that is being
-- sent by holder is due again when that must have died. attempts counts all that were begun, counted before
-- they are made. The schedule began at round_at, when round_from attempts had been made. place is the order of
-- ordered endpoints, Unix microseconds. Times are Unix milliseconds, 0 for none.
CREATE TABLE deliveries (
    message_id  TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    writer      INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    state       TEXT NOT NULL,
    place       INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    round_from  INTEGER NOT NULL,
    round_at    INTEGER NOT NULL,
    holder      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    settled_at  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (message_id, endpoint_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, message_id);
CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at) WHERE state = 'waiting';
CREATE INDEX deliveries_place ON deliveries (endpoint_id, place) WHERE state = 'waiting';
CREATE INDEX deliveries_open ON deliveries (endpoint_id, state, message_id) WHERE state <> 'delivered';
CREATE INDEX deliveries_settled ON deliveries (state, settled_at) WHERE state <> 'waiting';

-- How attempts ended. One that is counted above and is not here was cut off.
CREATE TABLE delivery_attempts (
    message_id  TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    n           INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    took        INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    status      INTEGER NOT NULL,
    answer      TEXT NOT NULL,
    PRIMARY KEY (message_id, endpoint_id, n)
) STRICT, WITHOUT ROWID;

-- Attempts by endpoint and hour (Unix hours), for its success rate.
CREATE TABLE delivery_hours (
    endpoint_id TEXT NOT NULL,
    hour        INTEGER NOT NULL,
    delivered   INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, hour)
) STRICT, WITHOUT ROWID;

-- How far each writer's log has been made into deliveries.
CREATE TABLE delivery_cursors (
    writer INTEGER NOT NULL PRIMARY KEY,
    seq    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages that retention has removed from the log and a delivery still needs.
CREATE TABLE delivery_bodies (
    message_id TEXT NOT NULL PRIMARY KEY,
    subject    TEXT NOT NULL,
    at         INTEGER NOT NULL,
    body       BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE delivery_bodies;
DROP TABLE delivery_cursors;
DROP TABLE delivery_hours;
DROP TABLE delivery_attempts;
DROP TABLE deliveries;
