-- The checkpoint of this size, or the last one before it.
SELECT size, note, frontier, tail FROM audit.checkpoint
WHERE size <= %(size)s ORDER BY size DESC LIMIT 1
