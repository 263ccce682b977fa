-- +goose Up
-- Commands from NATS of which it has been said that they failed before they became operations, so that it is said
-- once. place is a command's place in its stream.
CREATE TABLE refused_commands (
    place TEXT NOT NULL PRIMARY KEY,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refused_commands_at ON refused_commands (at);

-- +goose Down
DROP TABLE refused_commands;
