ALTER TABLE private_clouds ADD COLUMN egress TEXT NOT NULL DEFAULT 'none'; -- none, internet, or a list of host:port
