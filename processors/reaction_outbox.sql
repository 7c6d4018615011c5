-- name: send
INSERT INTO outbox (topic, key, value) VALUES (%(topic)s, %(key)s, %(value)s)
