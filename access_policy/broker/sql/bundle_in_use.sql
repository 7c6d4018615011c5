SELECT kafka_mechanism, signing_key_id, is_newest
FROM (
    SELECT *, made_at = max(made_at) OVER () AS is_newest
    FROM keys.bundle
    WHERE principal = %(principal)s
) AS own
WHERE opened_at IS NOT NULL AND ended_at IS NULL
ORDER BY made_at DESC
LIMIT 1
