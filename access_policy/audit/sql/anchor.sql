SELECT audit.anchor()
