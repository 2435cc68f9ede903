CREATE VIEW bound.transfer AS
SELECT holder, month, channel, balance::numeric AS balance, fee::numeric AS fee, flagged <> 0 AS flagged,
       CASE WHEN booked NOT IN ('tomorrow', '2024-02-30 10:00:00') THEN booked::timestamp END AS booked,
       CASE WHEN amount ~ '^[-+]?[0-9]+([.][0-9]*)?(e[0-9]+)?$' THEN amount::numeric END AS amount
FROM source.transfers;
CREATE VIEW bound.account AS
SELECT holder::bigint AS holder, month, segment, CASE WHEN credit <> 'none' THEN credit::numeric END AS credit, joint = 'true' AS joint
FROM source.accounts;
