SELECT department, key_ref, scope_kind, epoch, wrapped
FROM keys.subject
WHERE epoch < %(epoch)s AND department = %(department)s
LIMIT %(limit)s
FOR UPDATE
