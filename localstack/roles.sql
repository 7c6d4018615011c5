-- The statements that make the roles which are missing, one per row.
-- roles, verifiers: arrays of the same length; a verifier is a SCRAM-SHA-256 one, so no
-- password is ever in a statement.
SELECT format('CREATE ROLE %%I LOGIN PASSWORD %%L', role, verifier)
FROM unnest(%(roles)s::text[], %(verifiers)s::text[]) AS wanted(role, verifier)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
