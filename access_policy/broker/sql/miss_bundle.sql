UPDATE keys.bundle
SET attempts = attempts + 1,
    share = CASE WHEN attempts + 1 < %(attempts_max)s THEN share END
WHERE bundle_id = %(bundle_id)s
