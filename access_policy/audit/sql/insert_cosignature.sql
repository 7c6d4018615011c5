INSERT INTO audit.cosignature (size, witness, line)
VALUES (%(size)s, %(witness)s, %(line)s)
ON CONFLICT DO NOTHING
