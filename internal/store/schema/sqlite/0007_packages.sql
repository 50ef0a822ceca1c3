-- What a version is beside its manifest, and what has become of its review. What was there before was trusted; versions of
-- the dev ring are never reviewed.
ALTER TABLE packages ADD COLUMN size INTEGER NOT NULL DEFAULT 0; -- of the .nupkg; 0 where it was pushed before this
ALTER TABLE packages ADD COLUMN pushed_by TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE packages ADD COLUMN library INTEGER NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN spec TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE packages ADD COLUMN findings TEXT NOT NULL DEFAULT '[]'; -- JSON
ALTER TABLE packages ADD COLUMN promotes TEXT NOT NULL DEFAULT ''; -- the version with a label whose files these are
ALTER TABLE packages ADD COLUMN state TEXT NOT NULL DEFAULT 'Approved' CHECK (state IN ('Submitted', 'Approved', 'Rejected', 'Deprecated'));
ALTER TABLE packages ADD COLUMN decided_by TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE packages ADD COLUMN decided INTEGER;
ALTER TABLE packages ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE packages ADD COLUMN acknowledged TEXT NOT NULL DEFAULT '[]'; -- JSON
ALTER TABLE packages ADD COLUMN lock TEXT NOT NULL DEFAULT '[]'; -- JSON
UPDATE packages SET state = 'Submitted' WHERE version_key LIKE '%-dev%';

-- The packages beside its own that an execution resolved to.
ALTER TABLE executions ADD COLUMN package_lock TEXT NOT NULL DEFAULT '[]'; -- JSON

-- Who was shown a credential of a principal, and could be it. Rows stay when principals go: what they pushed stays too.
CREATE TABLE holders (
  principal TEXT NOT NULL,
  holder    TEXT NOT NULL,
  PRIMARY KEY (principal, holder)
) STRICT;
