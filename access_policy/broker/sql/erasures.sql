SELECT erasure_id, ground, officers, requested_at, due_at, at_once, announced, executed_at,
    coalesce(epochs, '{}') AS epochs, coalesce(report, '{}') AS report,
    coalesce(certificate, '') AS certificate, completed
FROM keys.erasure
WHERE (%(erasure_id)s::uuid IS NULL OR erasure_id = %(erasure_id)s)
    AND (NOT %(open)s OR NOT completed)
ORDER BY requested_at, erasure_id
