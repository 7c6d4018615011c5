SELECT newest.principal, made_at, expires_at, opened_at,
    share IS NULL AND opened_at IS NULL AS withdrawn,
    kafka_mechanism,
    principal.older_until,
    (
        SELECT max(received_at) FROM keys.master WHERE 'dept-' || department = newest.principal
    ) AS last_key_at
FROM (
    SELECT DISTINCT ON (principal) * FROM keys.bundle ORDER BY principal, made_at DESC
) AS newest
LEFT JOIN keys.principal ON principal.name = newest.principal
ORDER BY newest.principal
