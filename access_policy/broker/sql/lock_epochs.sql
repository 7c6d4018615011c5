-- An epoch's file and its row are made, and strays destroyed, by one at a time.
SELECT pg_advisory_xact_lock(hashtext('keys.epoch'))
