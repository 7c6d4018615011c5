-- name: repeated
SELECT e.event_id::text, e.event_type, e.transition, e.department, e.occurred_at,
       e.repeats::text, e.repeats_department
FROM events e
WHERE e.repeats IS NOT NULL
  AND (%(since)s::timestamptz IS NULL OR e.occurred_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR e.occurred_at < %(until)s)
  AND (%(department)s::text IS NULL OR e.department = %(department)s)
ORDER BY e.occurred_at, e.event_id, e.department, e.event_type LIMIT %(limit)s

-- name: saved
SELECT department, to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month,
       count(*) AS entries
FROM events
WHERE repeats IS NOT NULL
  AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
GROUP BY 1, 2 ORDER BY 2, 1

-- name: misplaced
WITH steps AS (
    SELECT * FROM jsonb_to_recordset(%(steps)s::jsonb)
        AS s (event_type text, transition text, first boolean, after text[])
), placed AS (
    SELECT event_id, event_type, department, occurred_at, transition,
           lag(transition) OVER (PARTITION BY event_type, case_ref
                                 ORDER BY occurred_at, event_id, department) AS before
    FROM events
    WHERE counted AND case_ref IS NOT NULL AND event_type = ANY(%(types)s::text[])
)
SELECT p.event_id::text, p.event_type, p.transition, p.before, p.department, p.occurred_at,
       count(*) OVER () AS total
FROM placed p LEFT JOIN steps s USING (event_type, transition)
WHERE NOT coalesce(CASE WHEN p.before IS NULL THEN s.first ELSE p.before = ANY(s.after) END, false)
  AND (%(since)s::timestamptz IS NULL OR p.occurred_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR p.occurred_at < %(until)s)
  AND (%(department)s::text IS NULL OR p.department = %(department)s)
ORDER BY p.occurred_at, p.event_id, p.department, p.event_type LIMIT %(limit)s
