-- name: staging
CREATE TEMP TABLE IF NOT EXISTS incoming (
    event_id uuid, event_type text, department text, community text, case_ref text,
    transition text, category text, state text, unit text, occurred_us bigint, level text,
    urgency text, due_us bigint, backfill boolean, contacted boolean, resolved boolean,
    subjects text[], appended_ms bigint
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS incoming_tallies (
    community text, hour_us bigint, event_type text, transition text, category text, unit text,
    events bigint
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS incoming_parts (
    case_ref text, event_type text, department text, community text, transition text, state text,
    unit text, opened_us bigint, occurred_us bigint, event_id uuid, events int, level text,
    urgency text, due_us bigint, backfill boolean, begun_us bigint, closed_us bigint, returned int,
    steps text[], doubled boolean
) ON COMMIT DELETE ROWS

-- name: copy_events
COPY incoming FROM STDIN

-- name: accept
INSERT INTO events (event_id, event_type, department, community, case_ref, transition, category,
                    state, unit, occurred_at, level, urgency, due_at, backfill, contacted,
                    resolved, subjects, appended_at)
SELECT event_id, event_type, department, community, case_ref, transition, category, state, unit,
       'epoch'::timestamptz + occurred_us * interval '1 microsecond', level, urgency,
       'epoch'::timestamptz + due_us * interval '1 microsecond', backfill, contacted, resolved,
       subjects, 'epoch'::timestamptz + appended_ms * interval '1 millisecond'
FROM incoming ORDER BY event_id, department, event_type
ON CONFLICT (event_id, department, event_type) DO NOTHING
RETURNING event_id::text, department, event_type

-- name: copy_tallies
COPY incoming_tallies FROM STDIN

-- name: add_tallies
INSERT INTO community_hour_tallies AS t
       (community, hour, event_type, transition, category, unit, events)
SELECT community, 'epoch'::timestamptz + hour_us * interval '1 microsecond', event_type,
       transition, category, unit, events
FROM incoming_tallies ORDER BY 1, 2, 3, 4, 5, 6
ON CONFLICT (community, hour, event_type, transition, category, unit)
DO UPDATE SET events = t.events + excluded.events

-- name: copy_parts
COPY incoming_parts FROM STDIN

-- name: drop_empty_tallies
DELETE FROM community_hour_tallies t USING incoming_tallies i
WHERE t.events = 0 AND t.community = i.community AND t.event_type = i.event_type
  AND t.hour = 'epoch'::timestamptz + i.hour_us * interval '1 microsecond'
  AND t.transition = i.transition AND t.category = i.category AND t.unit = i.unit

-- name: clear_parts
TRUNCATE incoming_parts

-- name: add_parts
WITH added AS (
INSERT INTO case_parts AS p
       (case_ref, event_type, department, community, transition, state, unit, opened_at,
        occurred_at, event_id, events, level, urgency, due_at, backfill, begun_at, closed_at,
        returned, steps, doubled)
SELECT case_ref, event_type, department, community, transition, state, unit,
       'epoch'::timestamptz + opened_us * interval '1 microsecond',
       'epoch'::timestamptz + occurred_us * interval '1 microsecond', event_id, events,
       level, urgency, 'epoch'::timestamptz + due_us * interval '1 microsecond', backfill,
       'epoch'::timestamptz + begun_us * interval '1 microsecond',
       'epoch'::timestamptz + closed_us * interval '1 microsecond', returned, steps, doubled
FROM incoming_parts ORDER BY 1, 2
ON CONFLICT (case_ref, event_type) DO UPDATE SET
    events = p.events + excluded.events,
    steps = p.steps || excluded.steps,
    doubled = p.doubled OR excluded.doubled OR p.steps && excluded.steps,
    opened_at = least(p.opened_at, excluded.opened_at),
    -- greatest() passes over what is null
    begun_at = greatest(p.begun_at, excluded.begun_at),
    closed_at = greatest(p.closed_at, excluded.closed_at),
    returned = p.returned + excluded.returned,
    department = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.department ELSE p.department END,
    community = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.community ELSE p.community END,
    transition = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.transition ELSE p.transition END,
    state = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.state ELSE p.state END,
    unit = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.unit ELSE p.unit END,
    level = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.level ELSE p.level END,
    urgency = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.urgency ELSE p.urgency END,
    due_at = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.due_at ELSE p.due_at END,
    backfill = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.backfill ELSE p.backfill END,
    occurred_at = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.occurred_at ELSE p.occurred_at END,
    event_id = CASE WHEN (excluded.occurred_at, excluded.event_id, excluded.department)
           > (p.occurred_at, p.event_id, p.department)
        THEN excluded.event_id ELSE p.event_id END
RETURNING p.case_ref, p.event_type, p.doubled
)
SELECT case_ref, event_type FROM added WHERE doubled

-- name: add_warning
INSERT INTO warnings AS w
       (warning_id, rule, community, category, severity, window_from, window_to, events,
        withdrawn, revision)
VALUES (%(warning_id)s, %(rule)s, %(community)s, %(category)s, %(severity)s,
        'epoch'::timestamptz + %(window_from)s * interval '1 microsecond',
        'epoch'::timestamptz + %(window_to)s * interval '1 microsecond',
        %(events)s, %(withdrawn)s, %(revision)s)
ON CONFLICT (warning_id) DO UPDATE SET
    severity = excluded.severity, window_from = excluded.window_from,
    window_to = excluded.window_to, events = excluded.events, withdrawn = excluded.withdrawn,
    revision = excluded.revision
WHERE w.revision < excluded.revision

-- name: add_push
INSERT INTO warning_pushes (warning_id, level, unit, pushed_at, answer_by)
VALUES (%(warning_id)s, %(level)s, %(unit)s,
        'epoch'::timestamptz + %(pushed_at)s * interval '1 microsecond',
        'epoch'::timestamptz + %(answer_by)s * interval '1 microsecond')
ON CONFLICT DO NOTHING

-- name: add_response
INSERT INTO warning_responses (event_id, department, warning_id, transition, occurred_at)
VALUES (%(event_id)s, %(department)s, %(warning_id)s, %(transition)s,
        'epoch'::timestamptz + %(occurred_at)s * interval '1 microsecond')
