SELECT size, note, frontier, tail FROM audit.cosigned_checkpoint
ORDER BY size DESC LIMIT 1
