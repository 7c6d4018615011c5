-- What witnesses count for may be less than before: what is anchored is judged anew.
UPDATE audit.log SET
    quorum = %(quorum)s,
    overdue_s = %(overdue_s)s,
    anchored = CASE WHEN quorum = %(quorum)s THEN anchored ELSE 0 END,
    waiting_since = CASE WHEN quorum = %(quorum)s THEN waiting_since ELSE clock_timestamp() END
