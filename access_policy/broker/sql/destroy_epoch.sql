SELECT keys.destroy_epoch(%(epoch)s)
