SELECT size,
    note || coalesce(
        (SELECT string_agg(line, '' ORDER BY witness)
        FROM audit.cosignature WHERE cosignature.size = checkpoint.size),
        ''
    ),
    frontier, tail
FROM audit.checkpoint
ORDER BY size DESC LIMIT 1
