SELECT key_id FROM keys.erased_master WHERE key_id = ANY (%(key_ids)b::bytea[])
