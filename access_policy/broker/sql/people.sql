SELECT department, key_ref, scope_kind, epoch, wrapped FROM keys.subject
WHERE scope_kind = 'subject'
