SELECT keys.begin_epoch(%(epoch)s, %(kek)s, %(public_key)s, %(transport_secret)s)
