UPDATE keys.principal SET older_hash = NULL, older_until = NULL WHERE name = %(name)s
