SELECT department, key_ref
FROM keys.erased_ref
JOIN unnest(%(departments)b::text[], %(key_refs)b::text[]) AS wanted (department, key_ref)
    USING (department, key_ref)
