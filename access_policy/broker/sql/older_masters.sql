SELECT key_id, version, department, key_ref, scope_kind, grade_domain, community, epoch, wrapped
FROM keys.master
WHERE epoch < %(epoch)s AND epoch <> ALL (%(lost)s::text[]) AND department = %(department)s
LIMIT %(limit)s
FOR UPDATE
