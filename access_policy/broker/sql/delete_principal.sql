DELETE FROM keys.principal WHERE name = %(name)s
