-- name: cases
SELECT c.case_ref, c.community, c.state, c.opened_at, c.changed_at, c.events, c.parts
FROM cases c
WHERE c.case_ref IN (SELECT p.case_ref FROM case_parts p WHERE p.community LIKE %(prefix)s || '%%')
  AND (%(case_ref)s::text IS NULL OR c.case_ref = %(case_ref)s)
  AND c.community LIKE %(prefix)s || '%%'
ORDER BY c.changed_at DESC, c.case_ref
LIMIT %(limit)s

-- name: history
SELECT occurred_at, department, event_type, transition, state, unit, event_id
FROM events WHERE case_ref = %(case_ref)s
ORDER BY occurred_at, event_id

-- name: tallies
SELECT community, event_type, category, transition, unit, sum(events)::bigint AS events
FROM community_hour_tallies
WHERE community LIKE %(prefix)s || '%%'
  AND (%(since)s::timestamptz IS NULL OR hour >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR hour < %(until)s)
GROUP BY community, event_type, category, transition, unit
ORDER BY community, event_type, category, transition, unit
LIMIT %(limit)s

-- name: warnings
SELECT warning_id, rule, community, category, severity, window_from, window_to, orders, withdrawn
FROM warnings
WHERE community LIKE %(prefix)s || '%%'
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
