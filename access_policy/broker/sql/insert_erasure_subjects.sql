INSERT INTO keys.erasure_subject (erasure_id, department, key_ref)
SELECT %(erasure_id)s, * FROM unnest(%(departments)s::text[], %(key_refs)s::text[])
