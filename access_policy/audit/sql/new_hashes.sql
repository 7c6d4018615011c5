SELECT index, leaf_hash FROM audit.leaf WHERE index >= %(size)s ORDER BY index LIMIT %(limit)s
