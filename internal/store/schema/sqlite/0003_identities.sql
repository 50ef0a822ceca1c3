-- Who there is, beside the principals of other issuers. Of client secrets and tokens only a hash is kept; they are
-- random and long, so that a hash without salt and without many rounds tells nothing.
CREATE TABLE service_principals (
  id      TEXT PRIMARY KEY, -- client id, a GUID
  name    TEXT NOT NULL,
  created INTEGER NOT NULL
) STRICT;
CREATE TABLE client_secrets (
  id        TEXT PRIMARY KEY,
  principal TEXT NOT NULL REFERENCES service_principals (id) ON DELETE CASCADE,
  hash      BLOB NOT NULL,
  created   INTEGER NOT NULL,
  expires   INTEGER NOT NULL
) STRICT;
CREATE INDEX client_secrets_by_principal ON client_secrets (principal);
CREATE TABLE static_tokens (
  id      TEXT PRIMARY KEY,
  name    TEXT NOT NULL,
  hash    BLOB NOT NULL UNIQUE,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL
) STRICT;

-- Keys that sign Airlock's own access tokens.
CREATE TABLE signing_keys (
  id      TEXT PRIMARY KEY, -- the kid
  sealed  BLOB NOT NULL,    -- the private key
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL  -- when no token that it signed is valid any more
) STRICT;
