INSERT INTO keys.bundle (
    bundle_id, principal, share, proof_hash, expires_at, grace, kafka_mechanism, signing_key_id
)
VALUES (
    %(bundle_id)s, %(principal)s, %(share)s, %(proof_hash)s, %(expires_at)s,
    make_interval(secs => %(grace_s)s), %(kafka_mechanism)s, %(signing_key_id)s
)
