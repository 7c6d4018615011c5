-- name: tables
SELECT c.relname, string_agg(a.attname, ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition AND c.relname <> 'migrations' AND a.attgenerated = ''
GROUP BY c.relname ORDER BY c.relname

-- name: migrations
SELECT name FROM migrations ORDER BY name

-- name: made_at
SELECT now()

-- name: exclude
SELECT pg_advisory_xact_lock(hashtext('maplebridge.migrate'))

-- name: begin_sequences
SELECT setval(c.oid, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
FROM pg_class c WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'S'
