"""Queues of jobs over Redis, one program each, measured beside the scenario `redis` on the same server.

A program is run by an interpreter that has the product and needs nothing else: `work URL FILE` is the worker process,
`drive URL N` enqueues N jobs that do nothing, collects their results and prints what that took. They want different
versions of redis-py, so each may have an interpreter of its own.
"""

from __future__ import annotations

REDIS_PEERS = {"saq": "saq", "arq": "arq", "taskiq": "taskiq-redis", "streaq": "streaq"}
"""Peer -> the distribution that must be there."""

CONCURRENCY = 100  # jobs at once in a worker; also calls at once of a driver, where a product has no call for many
POLL = 0.05  # seconds between two looks, where a product polls
