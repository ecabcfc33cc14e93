"""The names under which spans and metrics tell of runs: attributes, events, and words for how things end."""

from __future__ import annotations

SCOPE = "graflow_async"
"""Name of the tracer and of the meter."""

RUN_ID = "graflow.run.id"
WORKFLOW = "graflow.workflow.name"
TASK_ID = "graflow.task.id"
TASK_NAME = "graflow.task.name"
TASK_KEY = "graflow.task.key"
TURN = "graflow.task.turn"
ATTEMPT = "graflow.task.attempt"
EXECUTOR = "graflow.task.executor"
OUTCOME = "graflow.outcome"
WORKER_WAIT = "graflow.task.wait.worker"
DELAY = "graflow.retry.delay"
REQUEST_ID = "graflow.request.id"
ERROR_TYPE = "error.type"

SKIPPED = "graflow.task.skipped"
"""Event of a run's span: a task will not run."""

RETRYING = "graflow.task.retrying"
"""Event of a task's span: an attempt has failed, and another one follows."""
