-- name: share
SELECT pg_advisory_xact_lock_shared(hashtext('maplebridge.windows/' || current_schema()))

-- name: exclude
SELECT pg_advisory_xact_lock(hashtext('maplebridge.windows/' || current_schema()))

-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended(%(rule)s || '/' || %(community)s || '/' || %(category)s, 0))

-- name: add_cause
INSERT INTO window_causes (rule, community, category, number, event_id, department, occurred_at)
VALUES (%(rule)s, %(community)s, %(category)s, %(number)s, %(event_id)s, %(department)s,
        'epoch'::timestamptz + %(occurred_at)s * interval '1 microsecond')
ON CONFLICT DO NOTHING
RETURNING event_id::text, department

-- name: add_amendment
INSERT INTO window_amendments (target_id, amending_id, department, event_type)
VALUES (%(target_id)s, %(amending_id)s, %(department)s, %(event_type)s)
ON CONFLICT DO NOTHING
RETURNING target_id::text, department

-- name: touched
SELECT other.community, other.category, (extract(epoch FROM other.occurred_at) * 1000000)::bigint
FROM unnest(%(ids)s::uuid[], %(departments)s::text[]) AS changed (event_id, department)
JOIN window_causes one USING (event_id, department)
JOIN window_causes other USING (rule, community, category, number)
WHERE one.rule = %(rule)s

-- name: causes
WITH held AS NOT MATERIALIZED (
    SELECT * FROM window_causes c
    WHERE rule = %(rule)s AND community = %(community)s AND category = %(category)s
      AND NOT EXISTS (SELECT FROM window_amendments a
                      WHERE a.target_id = c.event_id AND a.department = c.department
                        AND a.event_type = %(event_type)s)
)
SELECT (extract(epoch FROM occurred_at) * 1000000)::bigint, event_id::text, number, department
FROM held
WHERE occurred_at BETWEEN 'epoch'::timestamptz + %(low)s * interval '1 microsecond'
                      AND 'epoch'::timestamptz + %(high)s * interval '1 microsecond'
  AND NOT EXISTS (SELECT FROM held earlier WHERE earlier.number = held.number
                  AND (earlier.occurred_at, earlier.event_id, earlier.department)
                    < (held.occurred_at, held.event_id, held.department))

-- name: warnings
SELECT warning_id::text, (extract(epoch FROM window_from) * 1000000)::bigint,
       (extract(epoch FROM window_to) * 1000000)::bigint, events
FROM window_warnings
WHERE rule = %(rule)s AND community = %(community)s AND category = %(category)s
  AND window_from BETWEEN 'epoch'::timestamptz + %(low)s * interval '1 microsecond'
                      AND 'epoch'::timestamptz + %(high)s * interval '1 microsecond'

-- name: keep
INSERT INTO window_warnings (warning_id, rule, community, category, window_from, window_to, events)
VALUES (%(warning_id)s, %(rule)s, %(community)s, %(category)s,
        'epoch'::timestamptz + %(window_from)s * interval '1 microsecond',
        'epoch'::timestamptz + %(window_to)s * interval '1 microsecond', %(events)s)
ON CONFLICT (warning_id) DO UPDATE SET
    window_from = excluded.window_from, window_to = excluded.window_to, events = excluded.events

-- name: drop
DELETE FROM window_warnings WHERE warning_id = %(warning_id)s

-- name: revision
SELECT nextval('warning_revision')

-- name: await_answer
-- what was never pushed is due at once, whatever the time
INSERT INTO window_climbs (warning_id, due_at, waiting) VALUES (%(warning_id)s, 'epoch', true)
ON CONFLICT (warning_id) DO UPDATE SET waiting = true

-- name: await_none
UPDATE window_climbs SET waiting = false WHERE warning_id = %(warning_id)s
