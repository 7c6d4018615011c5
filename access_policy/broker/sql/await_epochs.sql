UPDATE keys.erasure
SET epochs = array(SELECT unnest(epochs) UNION SELECT unnest(%(epochs)s::text[]) ORDER BY 1)
WHERE erasure_id = %(erasure_id)s
RETURNING epochs
