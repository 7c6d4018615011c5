SELECT epoch,
    (SELECT count(*) FROM keys.master WHERE master.epoch = epoch.epoch),
    (SELECT count(*) FROM keys.subject WHERE subject.epoch = epoch.epoch)
FROM keys.epoch
ORDER BY epoch
