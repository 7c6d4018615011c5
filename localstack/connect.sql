-- The statements that let each role into its databases and nobody else into any.
-- TEMPORARY goes with CONNECT: bulk loads go through a temporary table.
SELECT format('REVOKE ALL ON DATABASE %%I FROM PUBLIC', datname)
FROM pg_database
WHERE datname <> 'template0'
UNION ALL
SELECT format('GRANT CONNECT, TEMPORARY ON DATABASE %%I TO %%I', name, role)
FROM unnest(%(names)s::text[], %(roles)s::text[]) AS wanted(name, role)
