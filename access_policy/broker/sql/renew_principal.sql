INSERT INTO keys.principal (name, secret_hash) VALUES (%(name)s, %(secret_hash)s)
ON CONFLICT (name) DO UPDATE
SET secret_hash = EXCLUDED.secret_hash,
    older_hash = principal.secret_hash,
    older_until = %(older_until)s
