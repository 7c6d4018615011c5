SELECT size, note, frontier, tail FROM audit.cosigned_checkpoint
ORDER BY size
