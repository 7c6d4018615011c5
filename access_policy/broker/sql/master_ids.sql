SELECT master.key_id, master.department, master.key_ref
FROM keys.master
JOIN unnest(%(departments)s::text[], %(key_refs)s::text[]) AS wanted (department, key_ref)
    USING (department, key_ref)
