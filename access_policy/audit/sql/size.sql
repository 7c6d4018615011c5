SELECT size FROM audit.log
