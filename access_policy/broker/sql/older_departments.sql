SELECT department FROM keys.master WHERE epoch < %(epoch)s AND epoch <> ALL (%(lost)s::text[])
UNION
SELECT department FROM keys.subject WHERE epoch < %(epoch)s AND epoch <> ALL (%(lost)s::text[])
ORDER BY department
