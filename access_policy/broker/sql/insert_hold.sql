INSERT INTO keys.hold (hold_id, case_ref, basis, reason, until, officer)
VALUES (%(hold_id)s, %(case_ref)s, %(basis)s, %(reason)s, %(until)s, %(officer)s)
