DELETE FROM keys.epoch WHERE epoch = %(epoch)s
