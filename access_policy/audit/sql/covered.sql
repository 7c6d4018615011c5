SELECT leaf.index, leaf.body, cover.salt, cover.commitments
FROM audit.leaf AS leaf JOIN audit.cover AS cover USING (index)
ORDER BY leaf.index
