SELECT DISTINCT department, grade_domain
FROM keys.master
JOIN unnest(%(departments)s::text[], %(key_refs)s::text[]) AS wanted (department, key_ref)
    USING (department, key_ref)
ORDER BY department, grade_domain
