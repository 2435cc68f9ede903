CREATE VIEW bound.reading AS
SELECT r.customer, r.month, c.region, r.tariff, r.smart,
       CASE WHEN r.kwh <> 'NaN' AND abs(r.kwh) < 'Infinity' THEN r.kwh::numeric END AS kwh,
       CASE c.solar WHEN 'yes' THEN TRUE WHEN 'no' THEN FALSE END AS solar,
       -- Half of the months have no 31st: that is no time, so NULL.
       (CASE WHEN r.tariff = 'day' THEN r.month || '-05 07:30' WHEN NOT coalesce(r.smart, FALSE) THEN r.month || '-17'
             WHEN right(r.month, 2) IN ('01', '03', '05', '07', '08', '10', '12') THEN r.month || '-31 23:59:59' END)::timestamp AS read_at
FROM source.readings r LEFT JOIN source.customers c USING (customer);
