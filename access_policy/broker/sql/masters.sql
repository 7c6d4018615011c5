SELECT key_id, version, department, key_ref, scope_kind, grade_domain, community, epoch, wrapped
FROM keys.master
WHERE key_id = ANY (%(key_ids)b::bytea[])
