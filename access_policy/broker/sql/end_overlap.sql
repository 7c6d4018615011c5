-- Nobody acts with what was in a bundle before the newest any more.
WITH ended AS (
    UPDATE keys.bundle SET ended_at = now()
    WHERE principal = %(name)s
        AND ended_at IS NULL
        AND made_at < (
            SELECT max(made_at) FROM keys.bundle AS each WHERE each.principal = bundle.principal
        )
)
UPDATE keys.principal SET older_hash = NULL, older_until = NULL WHERE name = %(name)s
