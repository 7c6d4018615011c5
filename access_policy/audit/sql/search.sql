SELECT leaf.index, leaf.body, cover.salt, cover.commitments
FROM audit.leaf AS leaf LEFT JOIN audit.cover AS cover USING (index)
WHERE (
        %(who)s::text IS NULL
        OR leaf.content ->> 'on_behalf_of' = %(who)s
        OR leaf.content ->> 'who' = %(who)s
    )
    AND (%(resource)s::text IS NULL OR leaf.content ->> 'resource' = %(resource)s)
    AND (%(decision)s::text IS NULL OR leaf.content ->> 'decision' = %(decision)s)
    AND (%(since)s::bigint IS NULL OR (leaf.content ->> 'at')::bigint >= %(since)s)
    AND (%(until)s::bigint IS NULL OR (leaf.content ->> 'at')::bigint < %(until)s)
    AND (
        %(field)s::text IS NULL
        OR leaf.content -> 'fields' @> jsonb_build_array(jsonb_build_object('path', %(field)s))
    )
ORDER BY leaf.index DESC
