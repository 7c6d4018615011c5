-- name: held
SELECT count(*) AS combined,
       count(*) FILTER (WHERE case_ref IS NULL OR NOT starts_with(case_ref, %(cases)s)) AS others,
       (SELECT count(*) FROM dead_letters) AS dead_lettered
FROM events
WHERE department <> 'react'
