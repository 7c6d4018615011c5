-- The week's end, in UTC, by the database's clock. unused: what no department wraps to any more.
SELECT epoch, ends_at + %(overlap)s, ends_at + %(overlap)s <= now() OR epoch = ANY (%(unused)s::text[])
FROM (
    SELECT epoch,
        (to_date(left(epoch, 8), 'IYYY"-W"IW') + 7)::timestamp AT TIME ZONE 'UTC' AS ends_at
    FROM keys.epoch
    WHERE epoch < %(epoch)s
) AS older
ORDER BY epoch
