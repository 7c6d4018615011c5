UPDATE keys.master SET epoch = %(epoch)s, wrapped = rewrapped.wrapped
FROM unnest(%(key_ids)b::bytea[], %(wrapped)b::bytea[]) AS rewrapped (key_id, wrapped)
WHERE master.key_id = rewrapped.key_id
