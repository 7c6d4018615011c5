SELECT subject.department, subject.key_ref, subject.scope_kind, subject.epoch, subject.wrapped
FROM keys.subject AS subject
JOIN unnest(%(departments)b::text[], %(key_refs)b::text[]) AS wanted (department, key_ref)
    USING (department, key_ref)
