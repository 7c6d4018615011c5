-- A secret that was never in use is replaced: the one before it stays the older one.
INSERT INTO keys.principal (name, secret_hash) VALUES (%(name)s, %(secret_hash)s)
ON CONFLICT (name) DO UPDATE
SET secret_hash = EXCLUDED.secret_hash,
    older_hash = CASE
        WHEN %(newest_in_use)s THEN principal.secret_hash ELSE principal.older_hash
    END,
    older_until = %(older_until)s
