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

-- name: newest_migration
SELECT max(name) FROM migrations

-- name: copy_outbox
COPY outbox (topic, key, value, headers) FROM STDIN (FORMAT BINARY)

-- name: progress
SELECT topic, partition, next_offset FROM offsets WHERE consumer = %(consumer)s

-- name: lock_offsets
SELECT 1 FROM offsets WHERE consumer = %(consumer)s ORDER BY topic, partition FOR UPDATE

-- name: hash_events
COPY (SELECT event_id, department, event_type, community, case_ref, transition, category, state,
             unit, extract(epoch FROM occurred_at), counted, repeats,
             repeats_department, level, urgency, extract(epoch FROM due_at), backfill, contacted,
             resolved, subjects
      FROM events WHERE department <> 'react'
      ORDER BY event_id, department, event_type) TO STDOUT

-- name: hash_amendments
COPY (SELECT target_id, amending_id, department, event_type, amending_type
      FROM amendments ORDER BY 1, 2, 3, 4, 5) TO STDOUT

-- name: hash_case_parts
COPY (SELECT case_ref, event_type, department, community, transition, state, unit,
             extract(epoch FROM opened_at), extract(epoch FROM occurred_at), event_id, events,
             level, urgency, extract(epoch FROM due_at), backfill, extract(epoch FROM begun_at),
             extract(epoch FROM closed_at), returned
      FROM case_parts ORDER BY case_ref, event_type) TO STDOUT

-- name: hash_community_hour_tallies
COPY (SELECT community, hour AT TIME ZONE 'UTC', event_type, transition, category, unit, events
      FROM community_hour_tallies ORDER BY 1, 2, 3, 4, 5, 6) TO STDOUT

-- name: hash_warnings
COPY (SELECT warning_id, rule, community, category, severity, extract(epoch FROM window_from),
             extract(epoch FROM window_to), events
      FROM warnings WHERE NOT withdrawn ORDER BY warning_id) TO STDOUT

-- name: hash_warning_pushes
COPY (SELECT p.warning_id, p.level, p.unit, extract(epoch FROM p.pushed_at),
             extract(epoch FROM p.answer_by)
      FROM warning_pushes p JOIN warnings w USING (warning_id) WHERE NOT w.withdrawn
      ORDER BY p.warning_id, p.level) TO STDOUT

-- name: hash_warning_responses
COPY (SELECT event_id, department, warning_id, transition, extract(epoch FROM occurred_at)
      FROM warning_responses ORDER BY event_id, department) TO STDOUT
