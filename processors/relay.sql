-- name: lock
SELECT pg_try_advisory_lock(hashtext('maplebridge.relay'))

-- name: next
SELECT id, topic, key, value, headers FROM outbox ORDER BY id LIMIT %(limit)s

-- name: done
DELETE FROM outbox WHERE id = ANY(%(ids)s)
