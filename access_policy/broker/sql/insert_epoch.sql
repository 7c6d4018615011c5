INSERT INTO keys.epoch (epoch, kek, public_key, transport_secret)
VALUES (%(epoch)s, %(kek)s, %(public_key)s, %(transport_secret)s)
ON CONFLICT DO NOTHING
