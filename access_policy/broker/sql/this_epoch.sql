SELECT to_char(now() AT TIME ZONE 'UTC', 'IYYY"-W"IW')
