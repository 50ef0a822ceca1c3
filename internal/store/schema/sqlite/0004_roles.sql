-- Who may do what, where.
CREATE TABLE role_assignments (
  id             TEXT PRIMARY KEY, -- GUID in lower case
  scope          TEXT NOT NULL,    -- as it was written; / for the installation
  scope_key      TEXT NOT NULL,    -- in lower case, without a slash at the end
  role           TEXT NOT NULL,    -- GUID in lower case
  principal      TEXT NOT NULL,
  principal_type TEXT NOT NULL CHECK (principal_type IN ('User', 'Group', 'ServicePrincipal')),
  created        INTEGER NOT NULL,
  created_by     TEXT NOT NULL,
  UNIQUE (scope_key, role, principal, principal_type)
) STRICT;
CREATE INDEX role_assignments_by_principal ON role_assignments (principal);

-- Features of Microsoft.AVS that a subscription has registered.
CREATE TABLE features (
  subscription_key TEXT NOT NULL,
  name_key         TEXT NOT NULL,
  name             TEXT NOT NULL,
  state            TEXT NOT NULL CHECK (state IN ('Registered', 'Unregistered')),
  changed          INTEGER NOT NULL,
  PRIMARY KEY (subscription_key, name_key)
) STRICT;
