SELECT secret_hash FROM keys.principal WHERE name = %(name)s
