-- +goose Up
-- How far an account's events have been compared with DoorFlow's list. since_at and watermark are times of
-- DoorFlow's: nothing that happened before since_at is asked for, and all that the list showed up to the
-- watermark is stored. looked_at and wide_at are when it was last compared to the end, and when far back.
-- found counts the events that webhooks had not brought, since the webhook that came at found_after.
CREATE TABLE catchup (
    account      TEXT NOT NULL PRIMARY KEY,
    since_at     INTEGER NOT NULL,
    watermark    INTEGER NOT NULL,
    looked_at    INTEGER NOT NULL DEFAULT 0,
    wide_at      INTEGER NOT NULL DEFAULT 0,
    found        INTEGER NOT NULL DEFAULT 0,
    found_after  INTEGER NOT NULL DEFAULT 0,
    silent_since INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What webhooks brought in the last three days is known by its keys; what is older may not be any more.
INSERT INTO catchup (account, since_at, watermark)
SELECT account, at, at FROM (
    SELECT account, MAX(connected_at, CAST(unixepoch('subsec') * 1000 AS INTEGER) - 259200000) AS at
    FROM connections WHERE status IN ('active', 'reauthorize')) AS connected;

-- +goose Down
DROP TABLE catchup;
