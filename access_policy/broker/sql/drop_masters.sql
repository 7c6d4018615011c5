-- Nobody can open them any more, and their departments may announce them again.
WITH subjects AS (
    DELETE FROM keys.subject WHERE epoch = %(epoch)s
), masters AS (
    DELETE FROM keys.master WHERE epoch = %(epoch)s RETURNING 1
)
SELECT count(*) FROM masters
