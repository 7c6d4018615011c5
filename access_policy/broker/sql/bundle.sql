-- Locked until the share is deleted: of two who ask at once, one gets it.
SELECT share, proof_hash, principal, opened_at, expires_at <= now(), attempts
FROM keys.bundle
WHERE bundle_id = %(bundle_id)s
FOR UPDATE
