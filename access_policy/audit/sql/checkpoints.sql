SELECT size, note, frontier, tail FROM audit.checkpoint ORDER BY size
