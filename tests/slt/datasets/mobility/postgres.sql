CREATE VIEW bound.commute AS
SELECT id AS subscriber_id, left(day, 7) AS ref_month, btrim(home) AS home_arr, btrim(work) AS work_arr, lower(mode) AS mode
FROM source.subscribers
WHERE status <> 'test';
