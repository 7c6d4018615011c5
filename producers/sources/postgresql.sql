-- A department's own query, wrapped so that an import can go on where it ended.

-- name: all
SELECT * FROM ({query}) AS source_rows;

-- name: in_order
SELECT * FROM ({query}) AS source_rows ORDER BY {column};

-- name: since
SELECT * FROM ({query}) AS source_rows WHERE {column} >= {mark} ORDER BY {column};
