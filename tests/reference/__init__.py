"""A second, naive account of what a workflow does, and the programs it is asked about."""
