SELECT department, key_ref FROM keys.erasure_subject WHERE erasure_id = %(erasure_id)s
ORDER BY department, key_ref
