UPDATE audit.relayed SET leaves = %(leaves)s, checkpoint = %(checkpoint)s
