-- The statements that make the databases which are missing, one per row.
SELECT format('CREATE DATABASE %%I OWNER %%I', name, owner)
FROM unnest(%(names)s::text[], %(owners)s::text[]) AS wanted(name, owner)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name)
