"""Disasters on purpose for whole runs: `python -m tests.worker.chaos --help`."""
