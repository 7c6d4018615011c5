INSERT INTO keys.erasure (erasure_id, ground, officers, requested_at, due_at, at_once)
VALUES (
    %(erasure_id)s, %(ground)s, %(officers)s, %(requested_at)s, %(due_at)s, %(at_once)s
)
