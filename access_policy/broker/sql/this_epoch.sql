-- The newest epoch of this week; the week itself where none was begun.
SELECT coalesce(
    (SELECT max(epoch) FROM keys.epoch WHERE left(epoch, 8) = week),
    week
)
FROM to_char(now() AT TIME ZONE 'UTC', 'IYYY"-W"IW') AS week
