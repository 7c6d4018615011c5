INSERT INTO keys.bundle (bundle_id, department, share, proof_hash, expires_at, grace)
VALUES (
    %(bundle_id)s, %(department)s, %(share)s, %(proof_hash)s, %(expires_at)s,
    make_interval(secs => %(grace_s)s)
)
