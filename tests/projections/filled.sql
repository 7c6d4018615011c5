-- name: events
INSERT INTO events (event_id, event_type, department, community, case_ref, transition, category,
                    state, unit, occurred_at, level, urgency, due_at, backfill, counted, repeats,
                    subjects)
SELECT (lpad(to_hex((1700000000000 + n * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || '8'
        || substr(h, 4, 15))::uuid,
       (ARRAY['hotline.order', 'grid.case', 'mediation.case', 'responsibility.task'])[1 + n / 4 %% 4],
       (ARRAY['hotline', 'grid', 'justice', 'grid'])[1 + n / 4 %% 4],
       (%(communities)s::text[])[1 + n / 4 %% cardinality(%(communities)s::text[])],
       CASE WHEN n %% 50 <> 0 THEN 'C-' || n / 4 END,
       (ARRAY['received', 'dispatched', 'handled', 'closed'])[1 + n %% 4], 'road', 'open', 'u1',
       %(since)s::timestamptz + n * (interval '3 years' / %(events)s), 'town', 'general',
       CASE WHEN n / 4 %% 4 = 3
       THEN %(since)s::timestamptz + interval '7 days' + n * (interval '3 years' / %(events)s) END,
       false, n %% 100 <> 0, CASE WHEN n %% 100 = 0 THEN gen_random_uuid() END, ARRAY['p' || n / 4]
FROM (SELECT n, md5(n::text) AS h FROM generate_series(0, %(events)s - 1) AS n) AS numbered

-- name: case_parts
INSERT INTO case_parts (case_ref, event_type, department, community, transition, state, unit,
                        opened_at, occurred_at, event_id, events, level, urgency, due_at, backfill,
                        begun_at, closed_at, returned, steps, doubled)
SELECT case_ref, event_type, min(department), min(community), 'closed', 'open', 'u1',
       min(occurred_at), max(occurred_at), (max(event_id::text))::uuid, count(*)::int, 'town',
       'general', NULL, false, min(occurred_at), CASE WHEN hashtext(case_ref) %% 10 <> 0
       THEN max(occurred_at) END, 0, array_agg(DISTINCT transition), false
FROM events WHERE case_ref IS NOT NULL AND counted GROUP BY case_ref, event_type

-- name: community_hour_tallies
INSERT INTO community_hour_tallies (community, hour, event_type, transition, category, unit, events)
SELECT community, date_trunc('hour', occurred_at), event_type, transition, category, unit, count(*)
FROM events WHERE counted GROUP BY 1, 2, 3, 4, 5, 6

-- name: amendments
INSERT INTO amendments (target_id, amending_id, department, event_type, amending_type)
SELECT event_id, gen_random_uuid(), department, event_type, 'event.retraction'
FROM events WHERE hashtext(event_id::text) %% 4 = 0

-- name: warnings
INSERT INTO warnings (warning_id, rule, community, category, severity, window_from, window_to,
                      events, withdrawn, revision)
SELECT event_id, 'urgent-orders', community, 'gas', 'yellow', occurred_at,
       occurred_at + interval '30 minutes', 3, false, 1
FROM events WHERE hashtext(event_id::text) %% 20 = 0

-- name: dead_letters
INSERT INTO dead_letters (topic, partition, "offset", reason, path, schema_id, appended_at)
SELECT 'mb.dept.' || event_type, 0, row_number() OVER (), 'is no such code', 'state', 1, occurred_at
FROM events WHERE hashtext(event_id::text) %% 2 = 0

-- name: window_causes
INSERT INTO window_causes (rule, community, category, number, event_id, department, occurred_at)
SELECT 'urgent-orders', community, 'gas', 'n' || event_id, event_id, department, occurred_at
FROM events WHERE hashtext(event_id::text) %% 10 = 0

-- name: window_amendments
INSERT INTO window_amendments (target_id, amending_id, department, event_type)
SELECT event_id, gen_random_uuid(), department, 'hotline.order'
FROM window_causes WHERE hashtext(event_id::text) %% 50 = 0

-- name: window_warnings
INSERT INTO window_warnings (warning_id, rule, community, category, window_from, window_to, events)
SELECT warning_id, rule, community, category, window_from, window_to, events FROM warnings

-- name: warning_pushes
INSERT INTO warning_pushes (warning_id, level, unit, pushed_at, answer_by)
SELECT warning_id, level, 'u1', window_to, window_to + interval '1 hour'
FROM warnings CROSS JOIN unnest(ARRAY['community', 'town']) AS level

-- name: warning_responses
INSERT INTO warning_responses (event_id, department, warning_id, transition, occurred_at)
SELECT gen_random_uuid(), 'grid', warning_id, transition, window_to + interval '2 hours'
FROM warnings CROSS JOIN unnest(ARRAY['acknowledged', 'verified']) AS transition

-- name: window_climbs
INSERT INTO window_climbs (warning_id, level, due_at, waiting)
SELECT warning_id, 'town', window_to + interval '1 hour', hashtext(warning_id::text) %% 100 = 0
FROM warnings
