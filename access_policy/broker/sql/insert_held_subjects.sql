INSERT INTO keys.held_subject (hold_id, department, key_ref)
SELECT %(hold_id)s, * FROM unnest(%(departments)s::text[], %(key_refs)s::text[])
