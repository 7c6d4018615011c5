INSERT INTO audit.checkpoint (size, note, frontier, tail)
VALUES (%(size)s, %(note)s, %(frontier)s, %(tail)s)
