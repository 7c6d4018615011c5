-- The login before the one in the bundle ends after the grace, if it would not end sooner.
WITH opened AS (
    UPDATE keys.bundle SET share = NULL, opened_at = now()
    WHERE bundle_id = %(bundle_id)s
    RETURNING principal, grace
)
UPDATE keys.principal
SET older_until = least(older_until, now() + opened.grace)
FROM opened
WHERE name = opened.principal AND older_until IS NOT NULL
