UPDATE keys.bundle SET ended_at = now() WHERE department = %(department)s AND ended_at IS NULL
