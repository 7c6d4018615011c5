-- name: set_aside
INSERT INTO dead_letters (topic, partition, "offset", reason, path, schema_id, appended_at)
VALUES (%(topic)s, %(partition)s, %(offset)s, %(reason)s, %(path)s, %(schema_id)s,
        to_timestamp(%(timestamp_ms)s / 1000.0))
ON CONFLICT DO NOTHING

-- name: letters
SELECT d.topic, d.partition, d."offset", d.reason, d.path, d.schema_id, d.appended_at,
       coalesce(a.state, 'open') AS state, a.acted_by, a.acted_at, a.note
FROM dead_letters d LEFT JOIN dead_letter_actions a USING (topic, partition, "offset")
WHERE (%(topic)s::text IS NULL OR d.topic = %(topic)s)
  AND (%(partition)s::int IS NULL OR d.partition = %(partition)s)
  AND (%(offset)s::bigint IS NULL OR d."offset" = %(offset)s)
  AND (%(state)s::text IS NULL OR coalesce(a.state, 'open') = %(state)s)
  AND (%(reason_like)s::text IS NULL OR strpos(lower(d.reason), lower(%(reason_like)s)) > 0)
ORDER BY d.topic, d.partition, d."offset" LIMIT %(limit)s

-- name: act
INSERT INTO dead_letter_actions (topic, partition, "offset", state, acted_by, acted_at, note)
VALUES (%(topic)s, %(partition)s, %(offset)s, %(state)s, %(by)s, now(), %(note)s)
ON CONFLICT DO NOTHING
