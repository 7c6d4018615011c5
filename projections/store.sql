-- name: claim
INSERT INTO offsets AS o (consumer, topic, partition, next_offset, epoch)
VALUES (%(consumer)s, %(topic)s, %(partition)s, 0, 1)
ON CONFLICT (consumer, topic, partition) DO UPDATE SET epoch = o.epoch + 1
RETURNING next_offset, epoch

-- name: end_overdue
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = current_user AND pid <> pg_backend_pid()
  AND xact_start < clock_timestamp() - make_interval(secs => %(limit_s)s)

-- name: advance
WITH mine AS (
    SELECT * FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(epochs)s::bigint[],
                         %(expected)s::bigint[], %(next)s::bigint[])
        AS m (topic, partition, epoch, expected, next)
    ORDER BY topic, partition
)
UPDATE offsets o SET next_offset = mine.next
FROM mine
WHERE o.consumer = %(consumer)s AND o.topic = mine.topic AND o.partition = mine.partition
  AND o.epoch = mine.epoch AND o.next_offset = mine.expected
RETURNING o.topic, o.partition

-- name: staging
CREATE TEMP TABLE IF NOT EXISTS incoming (
    event_id uuid, event_type text, department text, community text, case_ref text,
    transition text, category text, state text, unit text, occurred_us bigint
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS incoming_tallies (
    community text, hour_us bigint, event_type text, transition text, category text, unit text,
    events bigint
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS incoming_parts (
    case_ref text, event_type text, department text, community text, transition text, state text,
    unit text, opened_us bigint, occurred_us bigint, event_id uuid, events int, steps text[],
    doubled boolean
) ON COMMIT DELETE ROWS

-- name: copy_events
COPY incoming FROM STDIN

-- name: accept
INSERT INTO events (event_id, event_type, department, community, case_ref, transition, category,
                    state, unit, occurred_at)
SELECT event_id, event_type, department, community, case_ref, transition, category, state, unit,
       'epoch'::timestamptz + occurred_us * interval '1 microsecond'
FROM incoming ORDER BY event_id
ON CONFLICT (event_id) DO NOTHING
RETURNING event_id::text

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
        occurred_at, event_id, events, steps, doubled)
SELECT case_ref, event_type, department, community, transition, state, unit,
       'epoch'::timestamptz + opened_us * interval '1 microsecond',
       'epoch'::timestamptz + occurred_us * interval '1 microsecond', event_id, events, steps,
       doubled
FROM incoming_parts ORDER BY 1, 2
ON CONFLICT (case_ref, event_type) DO UPDATE SET
    events = p.events + excluded.events,
    steps = p.steps || excluded.steps,
    doubled = p.doubled OR excluded.doubled OR p.steps && excluded.steps,
    opened_at = least(p.opened_at, excluded.opened_at),
    department = CASE WHEN (excluded.occurred_at, excluded.event_id) > (p.occurred_at, p.event_id)
        THEN excluded.department ELSE p.department END,
    community = CASE WHEN (excluded.occurred_at, excluded.event_id) > (p.occurred_at, p.event_id)
        THEN excluded.community ELSE p.community END,
    transition = CASE WHEN (excluded.occurred_at, excluded.event_id) > (p.occurred_at, p.event_id)
        THEN excluded.transition ELSE p.transition END,
    state = CASE WHEN (excluded.occurred_at, excluded.event_id) > (p.occurred_at, p.event_id)
        THEN excluded.state ELSE p.state END,
    unit = CASE WHEN (excluded.occurred_at, excluded.event_id) > (p.occurred_at, p.event_id)
        THEN excluded.unit ELSE p.unit END,
    occurred_at = CASE WHEN (excluded.occurred_at, excluded.event_id) > (p.occurred_at, p.event_id)
        THEN excluded.occurred_at ELSE p.occurred_at END,
    event_id = CASE WHEN (excluded.occurred_at, excluded.event_id) > (p.occurred_at, p.event_id)
        THEN excluded.event_id ELSE p.event_id END
RETURNING p.case_ref, p.event_type, p.doubled
)
SELECT case_ref, event_type FROM added WHERE doubled

-- name: add_warning
INSERT INTO warnings AS w
       (warning_id, rule, community, category, severity, window_from, window_to, orders,
        withdrawn, revision)
VALUES (%(warning_id)s, %(rule)s, %(community)s, %(category)s, %(severity)s,
        'epoch'::timestamptz + %(window_from)s * interval '1 microsecond',
        'epoch'::timestamptz + %(window_to)s * interval '1 microsecond',
        %(orders)s, %(withdrawn)s, %(revision)s)
ON CONFLICT (warning_id) DO UPDATE SET
    severity = excluded.severity, window_from = excluded.window_from,
    window_to = excluded.window_to, orders = excluded.orders, withdrawn = excluded.withdrawn,
    revision = excluded.revision
WHERE w.revision < excluded.revision

-- name: copy_outbox
COPY outbox (topic, key, value, headers) FROM STDIN

-- name: add_dead_letter
INSERT INTO dead_letters (topic, partition, "offset", reason, path, schema_id, appended_at)
VALUES (%(topic)s, %(partition)s, %(offset)s, %(reason)s, %(path)s, %(schema_id)s,
        to_timestamp(%(timestamp_ms)s / 1000.0))
ON CONFLICT DO NOTHING

-- name: progress
SELECT topic, partition, next_offset FROM offsets WHERE consumer = %(consumer)s

-- name: lock_offsets
SELECT 1 FROM offsets WHERE consumer = %(consumer)s ORDER BY topic, partition FOR UPDATE

-- name: hash_events
COPY (SELECT event_id, event_type, department, community, case_ref, transition, category, state,
             unit, extract(epoch FROM occurred_at), counted, repeats
      FROM events WHERE event_type <> 'reaction.warning' ORDER BY event_id) TO STDOUT

-- name: hash_amendments
COPY (SELECT target_id, amending_id, department, event_type
      FROM amendments ORDER BY target_id, amending_id) TO STDOUT

-- name: hash_case_parts
COPY (SELECT case_ref, event_type, department, community, transition, state, unit,
             extract(epoch FROM opened_at), extract(epoch FROM occurred_at), event_id, events
      FROM case_parts ORDER BY case_ref, event_type) TO STDOUT

-- name: hash_tallies
COPY (SELECT community, extract(epoch FROM hour), event_type, transition, category, unit, events
      FROM community_hour_tallies ORDER BY 1, 2, 3, 4, 5, 6) TO STDOUT

-- name: hash_warnings
COPY (SELECT warning_id, rule, community, category, severity, extract(epoch FROM window_from),
             extract(epoch FROM window_to), orders
      FROM warnings WHERE NOT withdrawn ORDER BY warning_id) TO STDOUT
