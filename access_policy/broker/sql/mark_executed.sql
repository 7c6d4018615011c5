WITH unlinked AS (
    DELETE FROM keys.erasure_subject WHERE erasure_id = %(erasure_id)s
)
UPDATE keys.erasure
SET number = (SELECT coalesce(max(number), 0) + 1 FROM keys.erasure),
    executed_at = now(),
    epochs = array(
        SELECT epoch FROM keys.epoch UNION SELECT unnest(%(epochs)s::text[]) ORDER BY 1
    ),
    report = %(report)s::jsonb
WHERE erasure_id = %(erasure_id)s AND executed_at IS NULL
