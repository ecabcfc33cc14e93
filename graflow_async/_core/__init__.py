"""The pure machine: facts in, commands out. No clock, no randomness, no I/O, nothing awaited; standard library only."""
