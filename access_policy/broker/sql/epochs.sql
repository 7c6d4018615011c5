SELECT epoch, public_key FROM keys.epoch ORDER BY epoch
