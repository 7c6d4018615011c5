UPDATE keys.bundle SET ended_at = now() WHERE principal = %(principal)s AND ended_at IS NULL
