-- The newest checkpoints that witnesses co-signed, among those that were relayed.
SELECT size,
    note || coalesce(
        (SELECT string_agg(line, '' ORDER BY witness)
        FROM audit.cosignature WHERE cosignature.size = checkpoint.size),
        ''
    ),
    frontier, tail
FROM audit.checkpoint
WHERE size IN (
    SELECT DISTINCT size FROM audit.cosignature
    WHERE size <= %(until)s ORDER BY size DESC LIMIT 20
)
ORDER BY size
