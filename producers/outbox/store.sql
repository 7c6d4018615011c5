-- What the relay asks of the department's database. {braces} are names of its tables and columns.

-- name: lock
SELECT pg_try_advisory_lock({lock_class} + 1, {queue_name}::regclass::oid::int4)

-- name: holder
-- what other roles ask, and when, is hidden from this one
SELECT pid, query_start FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND datname = current_database()
  AND classid = ({lock_class} + 1)::oid AND objid = {queue_name}::regclass::oid

-- name: end_when_idle
SELECT set_config('idle_session_timeout', %(milliseconds)s, false)

-- name: read
SELECT q.position, q.id, o.{id} IS NOT NULL, o.{aggregatetype}, o.{aggregateid}, o.{type},
       CASE WHEN octet_length(o.{payload}::text) <= %(payload_max_bytes)s
            THEN o.{payload}::text END,
       o.{payload} IS NULL, {timestamp}
FROM {queue} q LEFT JOIN {table} o ON o.{id} = q.id
ORDER BY q.position
LIMIT %(limit)s

-- name: done
DELETE FROM {queue} WHERE position = ANY(%(positions)s)

-- name: remove
DELETE FROM {table} WHERE {id} = ANY(%(ids)s)

-- name: reject
INSERT INTO {rejects} (id, position, path, reason)
VALUES (%(id)s, %(position)s, %(path)s, %(reason)s)
ON CONFLICT (id) DO NOTHING

-- name: retry
WITH again AS (DELETE FROM {rejects} RETURNING id, position)
INSERT INTO {queue} (position, id)
SELECT nextval({sequence_name}), id FROM (SELECT id FROM again ORDER BY position) AS sorted

-- name: backlog
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(queued_at)), 0)::float8
FROM {queue}
