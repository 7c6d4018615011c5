"""The key broker: keeps the departments' masters, releases field keys by policy."""
