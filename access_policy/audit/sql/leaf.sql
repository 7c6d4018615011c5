SELECT body FROM audit.leaf WHERE index = %(index)s
