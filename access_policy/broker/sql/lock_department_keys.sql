-- Whoever stores under these keys ends first: each of its rows locks one of them.
LOCK TABLE keys.department_key IN EXCLUSIVE MODE
