INSERT INTO keys.subject (department, key_ref, scope_kind, epoch, wrapped)
SELECT * FROM unnest(
    %(departments)b::text[], %(key_refs)b::text[], %(scope_kinds)b::text[],
    %(epochs)b::text[], %(wrapped)b::bytea[]
) AS t (department, key_ref, scope_kind, epoch, wrapped)
ORDER BY department, key_ref
ON CONFLICT DO NOTHING
