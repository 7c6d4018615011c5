SELECT wrapped FROM keys.department_key
WHERE epoch = %(epoch)s AND department = %(department)s AND kind = %(kind)s
