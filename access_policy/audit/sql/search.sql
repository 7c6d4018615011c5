SELECT leaf.index, leaf.body, cover.salt, cover.commitments
FROM audit.leaf AS leaf LEFT JOIN audit.cover AS cover USING (index)
WHERE (
        %(who)s::text IS NULL
        OR leaf.on_behalf_of = %(who)s
        OR leaf.who = %(who)s
    )
    AND (%(resource)s::text IS NULL OR leaf.resource = %(resource)s)
    AND (%(decision)s::text IS NULL OR leaf.decision = %(decision)s)
    AND (%(since)s::bigint IS NULL OR leaf.at >= %(since)s)
    AND (%(until)s::bigint IS NULL OR leaf.at < %(until)s)
    AND (
        %(field)s::text IS NULL
        -- looked for as text first: to parse every leaf would take most of a search's time
        OR CASE
            WHEN strpos(leaf.body, to_json(%(field)s::text)::text) > 0
            THEN leaf.body::jsonb -> 'fields'
                @> jsonb_build_array(jsonb_build_object('path', %(field)s::text))
            ELSE false
        END
    )
ORDER BY leaf.index DESC
