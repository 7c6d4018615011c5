INSERT INTO keys.subject (department, key_ref, scope_kind, epoch, wrapped)
SELECT * FROM unnest(
    %(departments)b::text[], %(key_refs)b::text[], %(scope_kinds)b::text[],
    %(epochs)b::text[], %(wrapped)b::bytea[]
) AS given (department, key_ref, scope_kind, epoch, wrapped)
WHERE NOT EXISTS (
    SELECT FROM keys.erased_ref AS gone
    WHERE gone.department = given.department AND gone.key_ref = given.key_ref
)
ORDER BY department, key_ref
ON CONFLICT DO NOTHING
