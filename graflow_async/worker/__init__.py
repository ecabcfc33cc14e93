"""The worker, `python -m graflow_async.worker`: a process that takes tasks of runs from a queue and runs them."""

from __future__ import annotations

from .worker import Worker as Worker
