SELECT secret_hash, CASE WHEN older_until > now() THEN older_hash END
FROM keys.principal
WHERE name = %(name)s
