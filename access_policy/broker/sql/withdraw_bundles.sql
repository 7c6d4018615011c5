UPDATE keys.bundle SET share = NULL WHERE principal = %(principal)s AND share IS NOT NULL
