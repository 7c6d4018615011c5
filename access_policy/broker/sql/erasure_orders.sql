SELECT department, array_agg(key_ref ORDER BY key_ref)
FROM keys.erased_ref WHERE erasure_id = %(erasure_id)s
GROUP BY department ORDER BY department
