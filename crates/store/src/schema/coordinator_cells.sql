-- Masked cells are in files beside the database, one for each row of aggregations (<file>.cells/<query_id>.cells). What an older version kept in a table is
-- dropped: those results cannot be added up again.

DROP TABLE masked_cells;
DELETE FROM aggregations;
