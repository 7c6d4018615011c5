SELECT wrapped FROM keys.broker_secret WHERE name = %(name)s
