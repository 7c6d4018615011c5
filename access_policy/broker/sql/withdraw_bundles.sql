UPDATE keys.bundle SET share = NULL WHERE department = %(department)s AND share IS NOT NULL
