CREATE VIEW bound.care AS
SELECT insured, year,
       CASE WHEN year < '2022' THEN province END AS province_2018,
       CASE WHEN year >= '2022' THEN province END AS province_2022,
       kind, cost::numeric AS cost, CASE chronic WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END AS chronic
FROM source.visits
UNION ALL
SELECT ssn, left(admitted, 4),
       CASE WHEN left(admitted, 4) < '2022' THEN province END,
       CASE WHEN left(admitted, 4) >= '2022' THEN province END,
       'hospital', CASE WHEN days ~ '^[0-9]+$' THEN days::bigint * 350.5 END, NULL
FROM source.stays;
