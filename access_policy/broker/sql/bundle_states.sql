SELECT newest.department, made_at, expires_at, opened_at,
    share IS NULL AND opened_at IS NULL AS withdrawn,
    kafka_mechanism,
    principal.older_until,
    (SELECT max(received_at) FROM keys.master WHERE department = newest.department) AS last_key_at
FROM (
    SELECT DISTINCT ON (department) * FROM keys.bundle ORDER BY department, made_at DESC
) AS newest
LEFT JOIN keys.principal ON principal.name = 'dept-' || newest.department
ORDER BY department
