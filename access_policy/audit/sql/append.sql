SELECT audit.append(%(bodies)b::text[], %(salts)b::bytea[], %(commitments)b::bytea[])
