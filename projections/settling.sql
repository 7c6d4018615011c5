-- name: share
SELECT pg_advisory_xact_lock_shared(hashtext('maplebridge.amend/' || current_schema()))

-- name: exclude
SELECT pg_advisory_xact_lock(hashtext('maplebridge.amend/' || current_schema()))

-- name: copy_amendments
COPY amendments (target_id, amending_id, department, event_type, amending_type) FROM STDIN

-- name: void_on_arrival
SELECT i.event_id::text, i.department, i.event_type FROM incoming i
WHERE EXISTS (SELECT FROM amendments a WHERE a.target_id = i.event_id
              AND a.department = i.department AND a.event_type = i.event_type)

-- name: amended
SELECT event_id::text, department, event_type, case_ref
FROM events JOIN unnest(%(ids)s::uuid[], %(departments)s::text[], %(event_types)s::text[])
    AS target (event_id, department, event_type) USING (event_id, department, event_type)

-- name: rows
SELECT e.event_id::text, e.event_type, e.case_ref, e.department, e.community, e.transition,
       e.category, e.state, e.unit, (extract(epoch FROM e.occurred_at) * 1000000)::bigint,
       e.counted, e.repeats::text, e.repeats_department, e.level, e.urgency,
       (extract(epoch FROM e.due_at) * 1000000)::bigint, e.backfill,
       EXISTS (SELECT FROM amendments a WHERE a.target_id = e.event_id
               AND a.department = e.department AND a.event_type = e.event_type)
FROM (
    SELECT event_id, department, event_type FROM events
    JOIN unnest(%(case_refs)s::text[], %(types)s::text[]) AS g (case_ref, event_type)
        USING (case_ref, event_type)
    UNION SELECT * FROM unnest(%(ids)s::uuid[], %(departments)s::text[], %(event_types)s::text[])
) AS wanted JOIN events e USING (event_id, department, event_type)

-- name: uncount
UPDATE events e SET counted = false
FROM unnest(%(ids)s::uuid[], %(departments)s::text[], %(event_types)s::text[])
    AS void (event_id, department, event_type)
WHERE e.event_id = void.event_id AND e.department = void.department
  AND e.event_type = void.event_type

-- name: judge
UPDATE events e SET counted = told.counted, repeats = told.repeats,
                    repeats_department = told.repeats_department
FROM unnest(%(ids)s::uuid[], %(departments)s::text[], %(event_types)s::text[],
            %(counted)s::boolean[], %(repeats)s::uuid[], %(repeats_departments)s::text[])
    AS told (event_id, department, event_type, counted, repeats, repeats_department)
WHERE e.event_id = told.event_id AND e.department = told.department
  AND e.event_type = told.event_type

-- name: drop_parts
DELETE FROM case_parts p
USING unnest(%(case_refs)s::text[], %(types)s::text[]) AS g (case_ref, event_type)
WHERE p.case_ref = g.case_ref AND p.event_type = g.event_type

-- name: drop_responses
DELETE FROM warning_responses r
USING unnest(%(ids)s::uuid[], %(departments)s::text[], %(event_types)s::text[])
    AS void (event_id, department, event_type)
WHERE r.event_id = void.event_id AND r.department = void.department
