-- How Airlock reaches a private cloud; NULL for a simulated one.
ALTER TABLE private_clouds ADD COLUMN connection TEXT; -- JSON
-- The provider's flag: packages that nobody has reviewed may run there.
ALTER TABLE private_clouds ADD COLUMN dev INTEGER NOT NULL DEFAULT 0;
-- A paused queue takes executions and starts none.
ALTER TABLE lanes ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
DROP INDEX lanes_claimable;
CREATE INDEX lanes_claimable ON lanes (head) WHERE running IS NULL AND head IS NOT NULL AND paused = 0;

-- SSH host keys of the first login, where the connection names none.
CREATE TABLE host_keys (
  cloud    TEXT NOT NULL REFERENCES private_clouds (key),
  host     TEXT NOT NULL,
  host_key TEXT NOT NULL,
  PRIMARY KEY (cloud, host)
) STRICT;
