-- What provisioning makes in a database that keeps nothing yet.
WITH epochs AS (
    DELETE FROM keys.epoch
), secrets AS (
    DELETE FROM keys.broker_secret
)
DELETE FROM keys.principal
