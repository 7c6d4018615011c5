SELECT keys.begin_epoch(%(epoch)s, %(public_key)s)
