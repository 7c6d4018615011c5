-- name: due
SELECT c.warning_id::text, w.rule, w.community, w.category, w.events, c.level,
       (extract(epoch FROM c.due_at) * 1000000)::bigint, told.answered, told.found
FROM window_climbs c
JOIN window_warnings w USING (warning_id)
CROSS JOIN LATERAL (
    SELECT count(*) > 0 AS answered, count(*) FILTER (WHERE transition <> 'acknowledged') > 0 AS found
    FROM warning_responses r WHERE r.warning_id = c.warning_id
) AS told
WHERE c.waiting AND c.due_at <= 'epoch'::timestamptz + %(now)s * interval '1 microsecond'
  AND w.rule = ANY(%(rules)s)
ORDER BY c.due_at, c.warning_id
LIMIT %(limit)s
FOR UPDATE OF c SKIP LOCKED

-- name: keep
UPDATE window_climbs
SET level = %(level)s, waiting = %(waiting)s,
    due_at = 'epoch'::timestamptz + %(due_at)s * interval '1 microsecond'
WHERE warning_id = %(warning_id)s
