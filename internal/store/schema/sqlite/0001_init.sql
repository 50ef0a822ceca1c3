-- Times and durations are in microseconds, times since 1970 in UTC; NULL is "not yet". What ARM compares without case
-- has a column with the lower-case form (key, …_key) beside the one that is shown.

CREATE TABLE private_clouds (
  key              TEXT PRIMARY KEY, -- the resource id in lower case
  subscription_key TEXT NOT NULL,
  group_key        TEXT NOT NULL,
  subscription     TEXT NOT NULL,
  resource_group   TEXT NOT NULL,
  name             TEXT NOT NULL,
  location         TEXT NOT NULL,
  sku              TEXT NOT NULL,
  network_block    TEXT NOT NULL,
  cluster_size     INTEGER NOT NULL,
  state            TEXT NOT NULL,
  updated_by       TEXT NOT NULL DEFAULT '', -- the execution whose mark the state is
  vcenter          TEXT NOT NULL,
  dns_suffix       TEXT NOT NULL,
  aad_authority    TEXT NOT NULL
) STRICT;
CREATE INDEX private_clouds_by_group ON private_clouds (subscription_key, group_key);
CREATE INDEX private_clouds_marked ON private_clouds (updated_by) WHERE updated_by <> '';

-- A lane is a private cloud's queue: the row that whoever submits to, claims from or frees the lane updates first.
CREATE TABLE lanes (
  cloud    TEXT PRIMARY KEY REFERENCES private_clouds (key),
  last_seq INTEGER NOT NULL DEFAULT 0, -- place in the order of submission of the last one
  fence    INTEGER NOT NULL DEFAULT 0, -- of the last claim
  queued   INTEGER NOT NULL DEFAULT 0, -- executions that wait
  head     INTEGER,                    -- when the first of them was submitted
  running  TEXT                        -- id of the execution that runs
) STRICT;
CREATE INDEX lanes_claimable ON lanes (head) WHERE running IS NULL AND head IS NOT NULL;

CREATE TABLE packages (
  name_key    TEXT NOT NULL,
  version_key TEXT NOT NULL,
  name        TEXT NOT NULL,
  version     TEXT NOT NULL,
  digest      TEXT NOT NULL,
  pushed      INTEGER NOT NULL,
  manifest    TEXT NOT NULL, -- JSON
  PRIMARY KEY (name_key, version_key)
) STRICT;
CREATE INDEX packages_by_digest ON packages (digest);

CREATE TABLE executions (
  id              TEXT PRIMARY KEY,
  cloud           TEXT NOT NULL REFERENCES private_clouds (key),
  lane_seq        INTEGER NOT NULL, -- the place in the order of submission
  name            TEXT NOT NULL,
  name_key        TEXT NOT NULL,
  cmdlet_id       TEXT NOT NULL,
  package_name    TEXT NOT NULL,
  package_version TEXT NOT NULL,
  package_digest  TEXT NOT NULL,
  cmdlet          TEXT NOT NULL,
  parameters      TEXT NOT NULL, -- JSON
  hidden          TEXT NOT NULL, -- JSON
  sealed          BLOB,          -- secure values, encrypted; NULL from the end on
  body_digest     BLOB,
  timeout         INTEGER NOT NULL,
  retention       INTEGER NOT NULL,
  state           TEXT NOT NULL CHECK (state IN ('Pending', 'Running', 'Succeeded', 'Failed', 'Cancelling', 'Canceled', 'Deleting')),
  failure_code    TEXT NOT NULL DEFAULT '',
  failure_message TEXT NOT NULL DEFAULT '',
  warning         TEXT NOT NULL,
  submitted       INTEGER NOT NULL,
  started         INTEGER,
  finished        INTEGER,
  expires         INTEGER, -- when retention is over
  named_outputs   TEXT,    -- JSON
  node            TEXT NOT NULL DEFAULT '', -- that claimed it
  fence           INTEGER NOT NULL DEFAULT 0,
  intent          BLOB,    -- what is to change in the secret store, sealed; NULL from the end on
  -- output so far: the seq of the last record, and how many records each stream has
  records         INTEGER NOT NULL DEFAULT 0,
  output          INTEGER NOT NULL DEFAULT 0,
  information     INTEGER NOT NULL DEFAULT 0,
  warnings        INTEGER NOT NULL DEFAULT 0,
  errors          INTEGER NOT NULL DEFAULT 0,
  UNIQUE (cloud, name_key),
  UNIQUE (cloud, lane_seq)
) STRICT;
CREATE UNIQUE INDEX executions_one_running ON executions (cloud) WHERE state IN ('Running', 'Cancelling', 'Deleting');
CREATE INDEX executions_waiting ON executions (cloud, lane_seq) WHERE state = 'Pending';
CREATE INDEX executions_expiring ON executions (expires) WHERE expires IS NOT NULL;

-- Output lies in chunks of neighbouring records of all streams (chunk.go has the form).
CREATE TABLE chunks (
  execution   TEXT NOT NULL,
  first_seq   INTEGER NOT NULL,
  last_seq    INTEGER NOT NULL,
  output      INTEGER NOT NULL, -- how many of its records belong to the stream
  information INTEGER NOT NULL,
  warnings    INTEGER NOT NULL,
  errors      INTEGER NOT NULL,
  data        BLOB NOT NULL, -- sealed
  PRIMARY KEY (execution, first_seq)
) STRICT;

-- Executions whose record is gone and whose chunks are being removed in small steps.
CREATE TABLE removed (execution TEXT PRIMARY KEY) STRICT;

-- The operation of a PUT has its execution's id. Until it has ended, an operation's state is that of the execution.
CREATE TABLE operations (
  id              TEXT PRIMARY KEY,
  execution       TEXT NOT NULL,
  subscription    TEXT NOT NULL,
  resource_group  TEXT NOT NULL,
  cloud           TEXT NOT NULL,
  name            TEXT NOT NULL,
  state           TEXT,
  failure_code    TEXT NOT NULL DEFAULT '',
  failure_message TEXT NOT NULL DEFAULT '',
  started         INTEGER NOT NULL,
  finished        INTEGER,
  expires         INTEGER -- 24 h after the record went
) STRICT;
CREATE INDEX operations_by_execution ON operations (execution);
CREATE INDEX operations_expiring ON operations (expires) WHERE expires IS NOT NULL;
