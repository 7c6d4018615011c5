-- name: share
SELECT pg_advisory_xact_lock_shared(hashtext('maplebridge.amend/' || current_schema()))

-- name: exclude
SELECT pg_advisory_xact_lock(hashtext('maplebridge.amend/' || current_schema()))

-- name: copy_amendments
COPY amendments (target_id, amending_id, department, event_type) FROM STDIN

-- name: void_on_arrival
SELECT i.event_id::text FROM incoming i
WHERE EXISTS (SELECT FROM amendments a WHERE a.target_id = i.event_id
              AND a.department = i.department AND a.event_type = i.event_type)

-- name: amended
SELECT DISTINCT e.event_id::text, e.event_type, e.case_ref
FROM amendments a JOIN events e
  ON e.event_id = a.target_id AND e.department = a.department AND e.event_type = a.event_type
WHERE a.amending_id = ANY(%(amending)s::uuid[])

-- name: rows
SELECT e.event_id::text, e.event_type, e.case_ref, e.department, e.community, e.transition,
       e.category, e.state, e.unit, (extract(epoch FROM e.occurred_at) * 1000000)::bigint,
       e.counted, e.repeats::text,
       EXISTS (SELECT FROM amendments a WHERE a.target_id = e.event_id
               AND a.department = e.department AND a.event_type = e.event_type)
FROM (
    SELECT event_id FROM events
    JOIN unnest(%(case_refs)s::text[], %(types)s::text[]) AS g (case_ref, event_type)
        USING (case_ref, event_type)
    UNION SELECT unnest(%(singles)s::uuid[])
) AS wanted JOIN events e USING (event_id)

-- name: uncount
UPDATE events SET counted = false WHERE event_id = ANY(%(ids)s::uuid[])

-- name: judge
UPDATE events e SET counted = told.counted, repeats = told.repeats
FROM unnest(%(ids)s::uuid[], %(counted)s::boolean[], %(repeats)s::uuid[])
    AS told (event_id, counted, repeats)
WHERE e.event_id = told.event_id

-- name: drop_parts
DELETE FROM case_parts p
USING unnest(%(case_refs)s::text[], %(types)s::text[]) AS g (case_ref, event_type)
WHERE p.case_ref = g.case_ref AND p.event_type = g.event_type
