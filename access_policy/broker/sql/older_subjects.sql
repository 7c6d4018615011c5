SELECT department, key_ref, scope_kind, epoch, wrapped
FROM keys.subject
WHERE epoch < %(epoch)s AND epoch <> ALL (%(lost)s::text[]) AND department = %(department)s
LIMIT %(limit)s
FOR UPDATE
