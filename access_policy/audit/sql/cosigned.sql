-- The newest checkpoints that witnesses co-signed, among those that were relayed.
SELECT size, note, frontier, tail FROM audit.cosigned_checkpoint
WHERE size IN (
    SELECT DISTINCT size FROM audit.cosignature
    WHERE size <= %(until)s ORDER BY size DESC LIMIT 20
)
ORDER BY size
