-- name: add
INSERT INTO releases (release_id, "table", period, region, threshold, noise, noise_variance, cells,
                      cells_withheld, sha256, content)
VALUES (%(release_id)s, %(table)s, %(period)s, %(region)s, %(threshold)s, %(noise)s,
        %(noise_variance)s, %(cells)s, %(cells_withheld)s, %(sha256)s, %(content)s)
ON CONFLICT DO NOTHING
RETURNING release_id

-- name: content
SELECT content, sha256 FROM releases
WHERE "table" = %(table)s AND period = %(period)s AND region = %(region)s

-- name: list
SELECT release_id, "table", period, region, released_at, threshold, noise, noise_variance, cells,
       cells_withheld, sha256
FROM releases
WHERE region = %(region)s
ORDER BY period, "table"
LIMIT %(limit)s
