SELECT index, body FROM audit.leaf WHERE index >= %(index)s ORDER BY index LIMIT %(limit)s
