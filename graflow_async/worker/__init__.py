"""The worker: a process that takes tasks of runs from a queue in Redis and runs them, `python -m graflow_async.worker`."""

from __future__ import annotations

from .worker import Worker as Worker
