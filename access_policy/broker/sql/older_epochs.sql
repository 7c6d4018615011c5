-- The week's end, in UTC, by the database's clock.
SELECT epoch, ends_at + %(overlap)s, ends_at + %(overlap)s <= now()
FROM (
    SELECT epoch, (to_date(epoch, 'IYYY"-W"IW') + 7)::timestamp AT TIME ZONE 'UTC' AS ends_at
    FROM keys.epoch
    WHERE epoch < %(epoch)s
) AS older
ORDER BY epoch
