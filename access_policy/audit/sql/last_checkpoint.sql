SELECT size, note, frontier, tail FROM audit.checkpoint ORDER BY size DESC LIMIT 1
