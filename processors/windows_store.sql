-- name: lock
SELECT pg_advisory_xact_lock(hashtextextended(%(rule)s || '/' || %(community)s || '/' || %(category)s, 0))

-- name: add_order
INSERT INTO window_orders AS w (rule, community, category, order_no, event_id, occurred_at)
VALUES (%(rule)s, %(community)s, %(category)s, %(order_no)s, %(event_id)s,
        'epoch'::timestamptz + %(occurred_at)s * interval '1 microsecond')
ON CONFLICT (rule, community, category, order_no)
DO UPDATE SET event_id = excluded.event_id, occurred_at = excluded.occurred_at
WHERE (excluded.occurred_at, excluded.event_id) < (w.occurred_at, w.event_id)
RETURNING coalesce((extract(epoch FROM old.occurred_at) * 1000000)::bigint, %(occurred_at)s)

-- name: orders
SELECT (extract(epoch FROM occurred_at) * 1000000)::bigint, event_id::text, order_no
FROM window_orders
WHERE rule = %(rule)s AND community = %(community)s AND category = %(category)s
  AND occurred_at BETWEEN 'epoch'::timestamptz + %(low)s * interval '1 microsecond'
                      AND 'epoch'::timestamptz + %(high)s * interval '1 microsecond'

-- name: warnings
SELECT warning_id::text, (extract(epoch FROM window_from) * 1000000)::bigint,
       (extract(epoch FROM window_to) * 1000000)::bigint, orders
FROM window_warnings
WHERE rule = %(rule)s AND community = %(community)s AND category = %(category)s
  AND window_from BETWEEN 'epoch'::timestamptz + %(low)s * interval '1 microsecond'
                      AND 'epoch'::timestamptz + %(high)s * interval '1 microsecond'

-- name: keep
INSERT INTO window_warnings (warning_id, rule, community, category, window_from, window_to, orders)
VALUES (%(warning_id)s, %(rule)s, %(community)s, %(category)s,
        'epoch'::timestamptz + %(window_from)s * interval '1 microsecond',
        'epoch'::timestamptz + %(window_to)s * interval '1 microsecond', %(orders)s)
ON CONFLICT (warning_id) DO UPDATE SET
    window_from = excluded.window_from, window_to = excluded.window_to, orders = excluded.orders

-- name: drop
DELETE FROM window_warnings WHERE warning_id = %(warning_id)s

-- name: revision
SELECT nextval('warning_revision')

-- name: send
INSERT INTO outbox (topic, key, value) VALUES (%(topic)s, %(key)s, %(value)s)
