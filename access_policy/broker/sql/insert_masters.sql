-- A wrap can come twice: the first of a key id stays. Returns how many were new.
WITH given AS (
    SELECT * FROM unnest(
        %(key_ids)b::bytea[], %(versions)b::bigint[], %(departments)b::text[],
        %(key_refs)b::text[], %(scope_kinds)b::text[], %(grade_domains)b::smallint[],
        %(communities)b::text[], %(epochs)b::text[], %(wrapped)b::bytea[]
    ) AS t (key_id, version, department, key_ref, scope_kind, grade_domain, community, epoch,
            wrapped)
), added AS (
    INSERT INTO keys.master
        (key_id, version, department, key_ref, scope_kind, grade_domain, community, epoch, wrapped)
    SELECT * FROM given ORDER BY key_id
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM added
