WITH unlinked AS (
    UPDATE keys.erased_ref SET erasure_id = NULL WHERE erasure_id = %(erasure_id)s
)
UPDATE keys.erasure SET completed = true WHERE erasure_id = %(erasure_id)s
