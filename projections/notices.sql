-- name: moved
WITH fresh AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(departments)s::text[], %(event_types)s::text[])
        AS f (event_id, department, event_type)
), met AS (
    SELECT a.* FROM fresh f JOIN amendments a
        ON a.amending_id = f.event_id AND a.department = f.department
       AND a.amending_type = f.event_type
    UNION
    SELECT a.* FROM fresh f JOIN amendments a
        ON a.target_id = f.event_id AND a.department = f.department
       AND a.event_type = f.event_type
)
SELECT target.event_id::text, target.event_type, target.department, target.community,
       target.case_ref, (extract(epoch FROM target.occurred_at) * 1000000)::bigint,
       met.amending_id::text, met.amending_type, amending.category
FROM met
JOIN events target ON target.event_id = met.target_id AND target.department = met.department
     AND target.event_type = met.event_type
JOIN events amending ON amending.event_id = met.amending_id
     AND amending.department = met.department AND amending.event_type = met.amending_type
WHERE target.community <> amending.community
ORDER BY target.event_id, target.department, target.event_type, met.amending_id, met.amending_type
