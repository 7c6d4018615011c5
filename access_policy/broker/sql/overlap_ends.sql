SELECT name, older_until FROM keys.principal WHERE older_until IS NOT NULL
