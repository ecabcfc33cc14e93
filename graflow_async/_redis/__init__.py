"""What the adapters that speak Redis share: connections, names of keys, scripts, and what may be unpickled."""
