SELECT hold_id, case_ref, basis, reason, until, officer, added_at, lifted_at, lifted_by,
    lifted_at IS NULL AND until > now() AS stands,
    (SELECT coalesce(array_agg(ARRAY[department, key_ref]), '{}')
     FROM keys.held_subject WHERE held_subject.hold_id = hold.hold_id) AS subjects
FROM keys.hold
ORDER BY added_at, hold_id
