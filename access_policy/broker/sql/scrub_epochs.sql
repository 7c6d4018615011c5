-- The files are written anew, without the rows that were deleted.
VACUUM (FULL) keys.epoch, keys.department_key
