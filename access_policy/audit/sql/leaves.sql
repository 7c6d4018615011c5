SELECT leaf.index, leaf.leaf_hash, leaf.body, cover.salt, cover.commitments
FROM audit.leaf AS leaf LEFT JOIN audit.cover AS cover USING (index)
ORDER BY leaf.index
