SELECT EXISTS (SELECT FROM keys.master)
    OR EXISTS (SELECT FROM keys.subject)
    OR EXISTS (SELECT FROM keys.department_key)
    OR EXISTS (SELECT FROM keys.bundle)
