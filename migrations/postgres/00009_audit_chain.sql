-- +goose Up
-- Each row is signed together with the row before it in its chain. Rows that are there already were signed by
-- nobody: they are chain 0, in the order of their ids, and the first row of chain 1 vouches for them as they
-- are then.

DROP TRIGGER audit_log_no_change ON audit_log;
ALTER TABLE audit_log
    ADD COLUMN chain BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN seq   BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN prev  BYTEA NOT NULL DEFAULT '',
    ADD COLUMN mac   BYTEA NOT NULL DEFAULT '',
    ADD COLUMN heads TEXT NOT NULL DEFAULT '';
UPDATE audit_log SET seq = numbered.seq
    FROM (SELECT id, row_number() OVER (ORDER BY id COLLATE "C") AS seq FROM audit_log) AS numbered
    WHERE numbered.id = audit_log.id;
-- A program that knows nothing of chains shall not write.
ALTER TABLE audit_log
    ALTER COLUMN chain DROP DEFAULT,
    ALTER COLUMN seq DROP DEFAULT,
    ALTER COLUMN prev DROP DEFAULT,
    ALTER COLUMN mac DROP DEFAULT,
    ALTER COLUMN heads DROP DEFAULT;
CREATE UNIQUE INDEX audit_log_chain ON audit_log (chain, seq);
CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_append_only();

-- +goose Down
DROP INDEX audit_log_chain;
ALTER TABLE audit_log
    DROP COLUMN chain,
    DROP COLUMN seq,
    DROP COLUMN prev,
    DROP COLUMN mac,
    DROP COLUMN heads;
