-- What is stored is stored before an erasure or after it, and then meets what it left.
SELECT pg_advisory_xact_lock_shared(hashtext('maplebridge.erase'))
