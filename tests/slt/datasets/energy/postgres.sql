CREATE VIEW bound.reading AS
SELECT r.customer, r.month, c.region, r.tariff, r.smart,
       CASE WHEN r.kwh <> 'NaN' AND abs(r.kwh) < 'Infinity' THEN r.kwh::numeric END AS kwh,
       CASE c.solar WHEN 'yes' THEN TRUE WHEN 'no' THEN FALSE END AS solar
FROM source.readings r LEFT JOIN source.customers c USING (customer);
