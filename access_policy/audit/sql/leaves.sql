SELECT leaf.index, leaf.leaf_hash, leaf.body, cover.salt, cover.commitments,
    leaf.at, leaf.who, leaf.on_behalf_of, leaf.decision, leaf.resource
FROM audit.leaf AS leaf LEFT JOIN audit.cover AS cover USING (index)
ORDER BY leaf.index
