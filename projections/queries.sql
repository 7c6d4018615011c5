-- name: cases
SELECT case_ref,
       (array_agg(community ORDER BY occurred_at DESC, event_id DESC, event_type))[1] AS community,
       (array_agg(state ORDER BY occurred_at DESC, event_id DESC, event_type))[1] AS state,
       min(opened_at) AS opened_at,
       max(occurred_at) AS changed_at,
       sum(events)::int AS events,
       jsonb_object_agg(event_type, jsonb_build_object(
           'department', department, 'state', state, 'transition', transition, 'unit', unit,
           'occurred_at', occurred_at, 'events', events)) AS parts,
       jsonb_agg(jsonb_build_object(
           'event_type', event_type, 'department', department, 'unit', unit, 'level', level,
           'urgency', urgency, 'due_at', (extract(epoch FROM due_at) * 1000000)::bigint,
           'backfill', backfill, 'opened_at', (extract(epoch FROM opened_at) * 1000000)::bigint,
           'begun_at', (extract(epoch FROM begun_at) * 1000000)::bigint,
           'closed_at', (extract(epoch FROM closed_at) * 1000000)::bigint, 'returned', returned,
           'occurred_at', (extract(epoch FROM occurred_at) * 1000000)::bigint,
           'event_id', event_id)) AS judged
FROM case_parts
WHERE (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
  AND (%(case_ref)s::text IS NULL OR case_ref = %(case_ref)s)
GROUP BY case_ref
HAVING NOT %(open)s OR bool_or(closed_at IS NULL OR closed_at < begun_at)
ORDER BY changed_at DESC, case_ref
LIMIT %(limit)s

-- name: void_case
SELECT case_ref,
       (array_agg(community ORDER BY occurred_at DESC, event_id DESC, event_type))[1] AS community,
       NULL AS state, NULL AS opened_at, NULL AS changed_at, 0 AS events, '{}'::jsonb AS parts,
       '[]'::jsonb AS judged
FROM events
WHERE case_ref = %(case_ref)s AND event_type = ANY(%(types)s::text[])
  AND (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
  AND NOT EXISTS (SELECT FROM case_parts WHERE case_ref = %(case_ref)s)
GROUP BY case_ref

-- name: history
SELECT e.occurred_at, e.department, e.community, e.event_type, e.transition, e.state, e.unit,
       e.event_id, e.counted, e.repeats,
       (SELECT min(a.amending_id::text)::uuid FROM amendments a
        WHERE a.target_id = e.event_id AND a.department = e.department
          AND a.event_type = e.event_type) AS amended_by,
       EXISTS (SELECT FROM amendments a
               WHERE a.target_id = e.event_id AND a.department = e.department
                 AND a.event_type = e.event_type AND a.amending_type = 'event.retraction')
           AS retracted
FROM events e WHERE e.case_ref = %(case_ref)s
ORDER BY e.occurred_at, e.event_id, e.department, e.event_type

-- name: tallies
SELECT community, event_type, category, transition, unit, sum(events)::bigint AS events
FROM community_hour_tallies
WHERE (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
  AND (%(since)s::timestamptz IS NULL OR hour >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR hour < %(until)s)
GROUP BY community, event_type, category, transition, unit
ORDER BY community, event_type, category, transition, unit
LIMIT %(limit)s

-- name: warnings
SELECT warning_id, rule, community, category, severity, window_from, window_to, events, withdrawn,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
           'level', level, 'unit', unit,
           'pushed_at', (extract(epoch FROM pushed_at) * 1000000)::bigint,
           'answer_by', (extract(epoch FROM answer_by) * 1000000)::bigint)), '[]')
        FROM warning_pushes p WHERE p.warning_id = w.warning_id) AS pushes,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
           'transition', transition, 'event_id', event_id, 'department', department,
           'occurred_at', (extract(epoch FROM occurred_at) * 1000000)::bigint)), '[]')
        FROM warning_responses r WHERE r.warning_id = w.warning_id) AS responses
FROM warnings w
WHERE (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
ORDER BY window_from DESC, warning_id
LIMIT %(limit)s

-- name: warning_outcomes
SELECT rule, count(*)::int AS warnings, count(answered)::int AS answered,
       count(*) FILTER (WHERE found = 'verified')::int AS verified,
       count(*) FILTER (WHERE found = 'false_alarm')::int AS false_alarms
FROM warnings w
LEFT JOIN LATERAL (
    SELECT true AS answered,
           (array_agg(transition ORDER BY occurred_at DESC, event_id DESC, department DESC)
            FILTER (WHERE transition IN ('verified', 'false_alarm')))[1] AS found
    FROM warning_responses r WHERE r.warning_id = w.warning_id HAVING count(*) > 0
) AS told ON true
WHERE NOT withdrawn AND (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
GROUP BY rule
ORDER BY rule
LIMIT %(limit)s

-- name: totals
SELECT (SELECT count(*) FROM events WHERE department <> 'react') AS combined,
       (SELECT count(*) FROM dead_letters) AS dead_lettered,
       (SELECT count(*) FROM warnings WHERE NOT withdrawn) AS warnings,
       (SELECT count(*) FROM outbox) AS waiting
