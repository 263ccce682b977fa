-- +goose Up
-- What may still reach a door, and what came later, is asked of all identities together: each may be an administrator of it.
DROP INDEX operations_alive;
DROP INDEX operations_door;
CREATE INDEX operations_alive ON operations (lock, alive_at) WHERE alive_at > 0;
CREATE INDEX operations_door ON operations (lock, seq);

-- What locks are called, as each identity saw them last: for people, who know no lock by its id.
CREATE TABLE door_names (
    identity TEXT NOT NULL,
    lock     TEXT NOT NULL,
    name     TEXT NOT NULL,
    PRIMARY KEY (identity, lock)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE door_names;
DROP INDEX operations_door;
DROP INDEX operations_alive;
CREATE INDEX operations_door ON operations (identity, lock, seq);
CREATE INDEX operations_alive ON operations (identity, lock, alive_at) WHERE alive_at > 0;
