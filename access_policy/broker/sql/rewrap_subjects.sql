UPDATE keys.subject SET epoch = %(epoch)s, wrapped = rewrapped.wrapped
FROM unnest(%(key_refs)b::text[], %(wrapped)b::bytea[]) AS rewrapped (key_ref, wrapped)
WHERE subject.department = %(department)s AND subject.key_ref = rewrapped.key_ref
