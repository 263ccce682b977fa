-- +goose Up
-- How and from where somebody signed in, for those who look at the sessions of their key: with the key or a link, from
-- which address, and what the browser said of itself.
ALTER TABLE sessions ADD COLUMN way TEXT NOT NULL DEFAULT 'key';
ALTER TABLE sessions ADD COLUMN remote TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN browser TEXT NOT NULL DEFAULT '';

-- Operations are looked for by what became of them, by door and by time.
CREATE INDEX operations_status ON operations (status, seq);
CREATE INDEX operations_lock ON operations (lock, seq);
CREATE INDEX operations_received ON operations (received_at);

-- +goose Down
DROP INDEX operations_received;
DROP INDEX operations_lock;
DROP INDEX operations_status;
ALTER TABLE sessions DROP COLUMN browser;
ALTER TABLE sessions DROP COLUMN remote;
ALTER TABLE sessions DROP COLUMN way;
