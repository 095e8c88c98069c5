"""Who may do what: keys, limits, the vault and the audit log. Security rests on vetted primitives alone."""
