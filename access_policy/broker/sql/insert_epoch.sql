INSERT INTO keys.epoch (epoch, public_key) VALUES (%(epoch)s, %(public_key)s)
ON CONFLICT DO NOTHING
