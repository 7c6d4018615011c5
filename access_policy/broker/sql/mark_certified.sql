UPDATE keys.erasure SET certificate = %(certificate)s
WHERE erasure_id = %(erasure_id)s AND certificate IS NULL
