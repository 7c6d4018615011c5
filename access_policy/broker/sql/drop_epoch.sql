-- Nobody can open what is under it any more, and departments may announce it again.
WITH subjects AS (
    DELETE FROM keys.subject WHERE epoch = %(epoch)s
), masters AS (
    DELETE FROM keys.master WHERE epoch = %(epoch)s RETURNING 1
), department_keys AS (
    DELETE FROM keys.department_key WHERE epoch = %(epoch)s
), epochs AS (
    DELETE FROM keys.epoch WHERE epoch = %(epoch)s
)
SELECT count(*) FROM masters
