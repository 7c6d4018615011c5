-- A wrap can come twice: the first of a key id stays. Nothing comes back that was erased.
-- Returns how many were new.
WITH given AS (
    SELECT * FROM unnest(
        %(key_ids)b::bytea[], %(versions)b::bigint[], %(departments)b::text[],
        %(key_refs)b::text[], %(scope_kinds)b::text[], %(grade_domains)b::smallint[],
        %(communities)b::text[], %(epochs)b::text[], %(wrapped)b::bytea[]
    ) AS t (key_id, version, department, key_ref, scope_kind, grade_domain, community, epoch,
            wrapped)
), erased AS (
    INSERT INTO keys.erased_master (key_id)
    SELECT key_id FROM given JOIN keys.erased_ref USING (department, key_ref) ORDER BY key_id
    ON CONFLICT DO NOTHING
), added AS (
    INSERT INTO keys.master
        (key_id, version, department, key_ref, scope_kind, grade_domain, community, epoch, wrapped)
    SELECT * FROM given
    WHERE NOT EXISTS (
        SELECT FROM keys.erased_ref AS gone
        WHERE gone.department = given.department AND gone.key_ref = given.key_ref
    )
    ORDER BY key_id
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM added
