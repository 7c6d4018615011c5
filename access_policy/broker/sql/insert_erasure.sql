INSERT INTO keys.erasure (erasure_id, ground, officers, requested_at, due_at)
VALUES (%(erasure_id)s, %(ground)s, %(officers)s, %(requested_at)s, %(due_at)s)
