DELETE FROM keys.department_key WHERE epoch = %(epoch)s
