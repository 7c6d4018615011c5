-- name: lock
SELECT pg_try_advisory_lock(hashtext('maplebridge.relay'))

-- name: next
SELECT id, topic, key, value, headers
FROM (
    SELECT *, sum(coalesce(octet_length(value), 0)) OVER (ORDER BY id) AS bytes
    FROM (SELECT * FROM outbox ORDER BY id LIMIT %(limit)s) AS first
) AS counted
WHERE bytes - coalesce(octet_length(value), 0) < %(bytes)s
ORDER BY id

-- name: done
DELETE FROM outbox WHERE id = ANY(%(ids)s)
