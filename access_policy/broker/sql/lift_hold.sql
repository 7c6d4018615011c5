UPDATE keys.hold SET lifted_at = now(), lifted_by = %(officer)s
WHERE hold_id = %(hold_id)s AND lifted_at IS NULL
