-- name: shadows
CREATE TEMP TABLE events (LIKE events) ON COMMIT DROP;
CREATE TEMP TABLE amendments (LIKE amendments) ON COMMIT DROP;
CREATE TEMP TABLE case_parts (LIKE case_parts INCLUDING INDEXES) ON COMMIT DROP;
CREATE TEMP TABLE community_hour_tallies (LIKE community_hour_tallies) ON COMMIT DROP;
CREATE INDEX ON pg_temp.events (case_ref)

-- name: copy_events
WITH here AS (
    SELECT * FROM events
    WHERE (community LIKE %(prefix)s || '%%' OR community = ANY(%(former)s::text[]))
      AND (%(case_ref)s::text IS NULL OR case_ref = %(case_ref)s)
      AND (appended_at IS NULL OR appended_at <= %(recorded_by)s)
)
INSERT INTO pg_temp.events
SELECT * FROM here
UNION
-- what other places say of the same cases decides with what counts
SELECT e.* FROM events e
WHERE e.case_ref IN (SELECT case_ref FROM here)
  AND (e.appended_at IS NULL OR e.appended_at <= %(recorded_by)s)

-- name: copy_amendments
INSERT INTO pg_temp.amendments
SELECT a.* FROM pg_temp.events e
JOIN amendments a ON a.target_id = e.event_id AND a.department = e.department
                 AND a.event_type = e.event_type
JOIN events amending ON amending.event_id = a.amending_id AND amending.department = a.department
                    AND amending.event_type = a.amending_type
WHERE amending.appended_at <= %(recorded_by)s

-- name: analyze
ANALYZE pg_temp.events

-- name: forgets
SELECT EXISTS (SELECT FROM pg_temp.events WHERE appended_at IS NULL)

-- name: enter
SELECT set_config('search_path', 'pg_temp,' || current_schema(), true)

-- name: unjudged
UPDATE events e SET counted = NOT EXISTS (
           SELECT FROM amendments a WHERE a.target_id = e.event_id
             AND a.department = e.department AND a.event_type = e.event_type),
       repeats = NULL, repeats_department = NULL

-- name: cases
SELECT DISTINCT case_ref, event_type FROM events
WHERE case_ref IS NOT NULL AND event_type = ANY(%(types)s::text[])

-- name: tallies
INSERT INTO community_hour_tallies (community, hour, event_type, transition, category, unit, events)
SELECT community, date_trunc('hour', occurred_at), event_type, transition, category,
       coalesce(unit, ''), count(*)
FROM events WHERE counted AND department <> 'react' GROUP BY 1, 2, 3, 4, 5, 6
