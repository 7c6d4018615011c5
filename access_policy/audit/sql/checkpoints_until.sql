SELECT size, note, frontier, tail FROM audit.cosigned_checkpoint
WHERE size > %(after)s AND size <= %(until)s ORDER BY size LIMIT %(limit)s
