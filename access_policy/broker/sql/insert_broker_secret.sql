INSERT INTO keys.broker_secret (name, wrapped) VALUES (%(name)s, %(wrapped)s)
ON CONFLICT DO NOTHING
