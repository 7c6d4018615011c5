SELECT epoch FROM keys.epoch WHERE created_at <= to_timestamp(%(at)s / 1e6) ORDER BY epoch
