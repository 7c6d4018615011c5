SELECT epoch, kek, public_key, transport_secret FROM keys.epoch ORDER BY epoch
