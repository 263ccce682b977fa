-- +goose Up
-- What is asked of doors. caller is key:NAME or nats:NAME, for one name may be two people's.
-- seq is the order in which operations of one lock are run. stage says what is left to do:
-- send, follow (what was sent), done; a lane is looked at when one of its operations is due. turn rises
-- whenever a worker takes an operation in hand, so that one that was thought dead writes nothing any more.
-- waits is 1 when it may wait for an offline door. tokens are the sealed identity tokens of its people, NULL
-- once it has ended. alive_at is until when something that was signed for it can still reach the door.
CREATE TABLE operations (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          TEXT NOT NULL,
    caller      TEXT NOT NULL,
    identity    TEXT NOT NULL,
    caller_id   TEXT NOT NULL,
    digest      BYTEA NOT NULL,
    type        TEXT NOT NULL,
    lock        TEXT NOT NULL,
    status      TEXT NOT NULL,
    error       TEXT NOT NULL DEFAULT '',
    detail      TEXT NOT NULL DEFAULT '',
    stage       TEXT NOT NULL,
    turn        BIGINT NOT NULL DEFAULT 0,
    attempts    BIGINT NOT NULL DEFAULT 0,
    waits       BIGINT NOT NULL,
    people      BIGINT NOT NULL,
    tokens      BYTEA,
    received_at BIGINT NOT NULL,
    deadline_at BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    followed_at BIGINT NOT NULL DEFAULT 0,
    alive_at    BIGINT NOT NULL DEFAULT 0,
    finished_at BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX operations_id ON operations (id);
CREATE UNIQUE INDEX operations_asked ON operations (caller, identity, caller_id);
CREATE INDEX operations_due ON operations (due_at) WHERE stage <> 'done';
CREATE INDEX operations_lane ON operations (identity, lock, stage, seq) WHERE stage <> 'done';
CREATE INDEX operations_door ON operations (identity, lock, seq);
CREATE INDEX operations_alive ON operations (identity, lock, alive_at) WHERE alive_at > 0;
CREATE INDEX operations_caller_id ON operations (caller_id);
CREATE INDEX operations_identity ON operations (identity, seq);
CREATE INDEX operations_finished ON operations (finished_at) WHERE stage = 'done';

-- The people of a share or revoke, and one row that stands for the door of an unlock. asked_by and value are how
-- they were named; the value of an identity token is not here. expires_at is until when a token signed for them
-- can still reach the door; guard_at until when one of another operation can.
CREATE TABLE operation_parts (
    operation  TEXT NOT NULL,
    n          BIGINT NOT NULL,
    asked_by   TEXT NOT NULL,
    value      TEXT NOT NULL,
    provision  TEXT NOT NULL,
    role       TEXT NOT NULL,
    start_at   BIGINT NOT NULL,
    end_at     BIGINT NOT NULL,
    user_id    TEXT NOT NULL DEFAULT '',
    public_key TEXT NOT NULL DEFAULT '',
    status     TEXT NOT NULL,
    error      TEXT NOT NULL DEFAULT '',
    tries      BIGINT NOT NULL DEFAULT 0,
    expires_at BIGINT NOT NULL DEFAULT 0,
    guard_at   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (operation, n)
);

-- +goose Down
DROP TABLE operation_parts;
DROP TABLE operations;
