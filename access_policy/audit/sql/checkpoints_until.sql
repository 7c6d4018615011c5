SELECT size,
    note || coalesce(
        (SELECT string_agg(line, '' ORDER BY witness)
        FROM audit.cosignature WHERE cosignature.size = checkpoint.size),
        ''
    ),
    frontier, tail
FROM audit.checkpoint
WHERE size > %(after)s AND size <= %(until)s ORDER BY size LIMIT %(limit)s
