-- What an execution's script has called, in chunks of neighbouring events (audit.go has the form).
ALTER TABLE executions ADD COLUMN audited INTEGER NOT NULL DEFAULT 0; -- the seq of its last event
CREATE TABLE audit_chunks (
  execution TEXT NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq  INTEGER NOT NULL,
  data      BLOB NOT NULL, -- sealed
  PRIMARY KEY (execution, first_seq)
) STRICT;
