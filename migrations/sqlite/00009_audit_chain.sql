-- +goose Up
-- Each row is signed together with the row before it in its chain. Rows that are there already were signed by
-- nobody: they are chain 0, in the order of their ids, and the first row of chain 1 vouches for them as they
-- are then.

CREATE TABLE audit_chained (
    id         TEXT NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor      TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    remote     TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action     TEXT NOT NULL,
    account    TEXT NOT NULL,
    target     TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    status     INTEGER NOT NULL,
    started    TEXT NOT NULL,
    chain      INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    prev       BLOB NOT NULL,
    mac        BLOB NOT NULL,
    heads      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO audit_chained
    SELECT id, at, actor_kind, actor, key_id, remote, request_id, action, account, target, outcome, status, started,
        0, row_number() OVER (ORDER BY id), x'', x'', ''
    FROM audit_log;
DROP TABLE audit_log;
ALTER TABLE audit_chained RENAME TO audit_log;
CREATE UNIQUE INDEX audit_log_chain ON audit_log (chain, seq);
CREATE INDEX audit_log_account ON audit_log (account, id);
CREATE INDEX audit_log_actor ON audit_log (actor, id);
CREATE INDEX audit_log_action ON audit_log (action, id);

-- +goose StatementBegin
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd

-- +goose Down
DROP INDEX audit_log_chain;
ALTER TABLE audit_log DROP COLUMN chain;
ALTER TABLE audit_log DROP COLUMN seq;
ALTER TABLE audit_log DROP COLUMN prev;
ALTER TABLE audit_log DROP COLUMN mac;
ALTER TABLE audit_log DROP COLUMN heads;
