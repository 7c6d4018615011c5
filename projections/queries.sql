-- name: cases
SELECT case_ref,
       (array_agg(community ORDER BY occurred_at DESC, event_id DESC))[1] AS community,
       (array_agg(state ORDER BY occurred_at DESC, event_id DESC))[1] AS state,
       min(opened_at) AS opened_at,
       max(occurred_at) AS changed_at,
       sum(events)::int AS events,
       jsonb_object_agg(event_type, jsonb_build_object(
           'department', department, 'state', state, 'transition', transition, 'unit', unit,
           'occurred_at', occurred_at, 'events', events)) AS parts
FROM case_parts
WHERE (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
  AND (%(case_ref)s::text IS NULL OR case_ref = %(case_ref)s)
GROUP BY case_ref
ORDER BY changed_at DESC, case_ref
LIMIT %(limit)s

-- name: history
SELECT occurred_at, department, event_type, transition, state, unit, event_id
FROM events WHERE case_ref = %(case_ref)s AND (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
ORDER BY occurred_at, event_id

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
SELECT warning_id, rule, community, category, severity, window_from, window_to, orders, withdrawn
FROM warnings
WHERE (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
ORDER BY window_from DESC, warning_id
LIMIT %(limit)s

-- name: dead_letters
SELECT topic, partition, "offset", reason, path, schema_id
FROM dead_letters ORDER BY topic, partition, "offset" LIMIT %(limit)s

-- name: totals
SELECT (SELECT count(*) FROM events WHERE event_type <> 'reaction.warning') AS combined,
       (SELECT count(*) FROM dead_letters) AS dead_lettered,
       (SELECT count(*) FROM warnings WHERE NOT withdrawn) AS warnings,
       (SELECT count(*) FROM outbox) AS waiting
