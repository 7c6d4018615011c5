-- name: steps
-- all of a matter until the end of the period, if anything of it lies in it; its deadline may do so alone
WITH met AS (
    SELECT event_type, case_ref, event_id FROM events
    WHERE counted AND event_type = ANY(%(types)s::text[])
      AND occurred_at >= %(since)s AND occurred_at < %(until)s
      AND (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
    UNION ALL
    SELECT event_type, case_ref, event_id FROM events
    WHERE counted AND event_type = 'responsibility.task'
      AND due_at >= %(since)s AND due_at < %(until)s
      AND (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
), found AS (
    SELECT e.* FROM (SELECT DISTINCT event_type, case_ref FROM met WHERE case_ref IS NOT NULL) m
    JOIN events e USING (case_ref, event_type)
    UNION ALL
    SELECT e.* FROM (SELECT DISTINCT event_type, event_id FROM met WHERE case_ref IS NULL) m
    JOIN events e USING (event_id, event_type) WHERE e.case_ref IS NULL
)
SELECT coalesce(case_ref, event_id::text) AS "case", event_type, event_id::text, department,
       community, transition, category, level, occurred_at, due_at, contacted, resolved
FROM found
WHERE counted AND occurred_at < %(until)s
ORDER BY event_id, department, event_type

-- name: subjects
-- of cases, and of events without one: the persons of all their events, and the types of these
SELECT coalesce(case_ref, event_id::text) AS "case",
       array_agg(DISTINCT event_type) AS event_types,
       array_agg(DISTINCT s.subject) FILTER (WHERE s.subject IS NOT NULL) AS subjects
FROM events LEFT JOIN LATERAL unnest(subjects) AS s (subject) ON true
WHERE counted AND (case_ref = ANY(%(cases)s::text[])
                   OR case_ref IS NULL AND event_id::text = ANY(%(cases)s::text[]))
GROUP BY 1
