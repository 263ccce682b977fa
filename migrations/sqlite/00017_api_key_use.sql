-- +goose Up
-- When a key last worked, in Unix milliseconds; 0 for never so far.
ALTER TABLE api_keys ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE api_keys DROP COLUMN used_at;
