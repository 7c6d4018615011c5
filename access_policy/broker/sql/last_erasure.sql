SELECT coalesce(max(number), 0) FROM keys.erasure
