SELECT department FROM keys.master WHERE epoch < %(epoch)s
UNION
SELECT department FROM keys.subject WHERE epoch < %(epoch)s
ORDER BY department
