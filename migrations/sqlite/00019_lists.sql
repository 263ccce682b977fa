-- +goose Up
-- Operations are listed by when they were asked for, also by what narrows them down. A command may have waited at NATS
-- meanwhile, so that this is not the order in which they are stored.
DROP INDEX operations_identity;
DROP INDEX operations_status;
DROP INDEX operations_lock;
DROP INDEX operations_received;
CREATE INDEX operations_identity ON operations (identity, received_at, seq);
CREATE INDEX operations_status ON operations (status, received_at, seq);
CREATE INDEX operations_lock ON operations (lock, received_at, seq);
CREATE INDEX operations_received ON operations (received_at, seq);
CREATE INDEX operations_caller ON operations (caller, received_at, seq);
CREATE INDEX operations_type ON operations (type, received_at, seq);

-- +goose Down
DROP INDEX operations_type;
DROP INDEX operations_caller;
DROP INDEX operations_received;
DROP INDEX operations_lock;
DROP INDEX operations_status;
DROP INDEX operations_identity;
CREATE INDEX operations_received ON operations (received_at);
CREATE INDEX operations_lock ON operations (lock, seq);
CREATE INDEX operations_status ON operations (status, seq);
CREATE INDEX operations_identity ON operations (identity, seq);
