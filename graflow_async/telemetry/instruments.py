"""What is counted and measured. Attributes are names and outcomes, never ids: their number does not grow with use."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from .._version import __version__
from . import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import Meter, MeterProvider

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Borders of the histograms, if the user's views do not say otherwise."""


class Active:
    """How many of something there are now: counted in passing, told when somebody reads."""

    def __init__(self, *labels: str) -> None:
        """Count by the values of these attributes."""
        self._labels = labels
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._lock = threading.Lock()  # runs of several loops count here, and readers have threads of their own

    def add(self, number: int, *values: str) -> None:
        """Count so many more."""
        with self._lock:
            self._counts[values] += number

    def observe(self, options: CallbackOptions) -> Iterable[Observation]:
        """Tell the numbers."""
        del options
        with self._lock:
            counts = dict(self._counts)
        return [Observation(count, dict(zip(self._labels, values, strict=True))) for values, count in counts.items()]


class Instruments:
    """The instruments of one meter.

    Attributes:
        runs_active: runs that have not ended, by workflow.
        run_seconds: how long runs took, by workflow and outcome; its count is the number of runs.
        tasks_active: attempts that have not ended, by workflow and task.
        attempt_seconds: how long attempts took, their children included, by workflow, task and outcome; its count is
            the number of tasks that have ended so, and with "retrying" that of attempts that were not the last.
        queue_seconds: how long attempts waited before they began, by workflow and task.
        retries: attempts that were made because an earlier one had failed, by workflow and task.
        skipped: tasks that did not run, by workflow and task.
    """

    def __init__(self, meter: Meter) -> None:
        """Make them."""
        self.runs_active = Active(names.WORKFLOW)
        self.tasks_active = Active(names.WORKFLOW, names.TASK_NAME)
        meter.create_observable_up_down_counter(
            "graflow.run.active", [self.runs_active.observe], "{run}", "Runs that have not ended"
        )
        meter.create_observable_up_down_counter(
            "graflow.task.active", [self.tasks_active.observe], "{attempt}", "Attempts that have not ended"
        )
        borders: dict[str, Any] = {"explicit_bucket_boundaries_advisory": SECONDS}
        self.run_seconds = meter.create_histogram("graflow.run.duration", "s", "How long runs took", **borders)
        self.attempt_seconds = meter.create_histogram(
            "graflow.task.duration", "s", "How long attempts of tasks took, their children included", **borders
        )
        self.queue_seconds = meter.create_histogram(
            "graflow.task.queue.duration", "s", "How long attempts of tasks waited before they began", **borders
        )
        self.retries = meter.create_counter(
            "graflow.task.retries", "{attempt}", "Attempts made because an earlier one had failed"
        )
        self.skipped = meter.create_counter("graflow.task.skipped", "{task}", "Tasks that did not run")


_made: WeakKeyDictionary[MeterProvider, Instruments] = WeakKeyDictionary()
_usual: list[Instruments] = []


def instruments_of(provider: MeterProvider | None) -> Instruments:
    """Give the instruments of a provider, which are made once; None for those of the process."""
    found = _made.get(provider) if provider is not None else next(iter(_usual), None)
    if found is None:
        found = Instruments(metrics.get_meter(names.SCOPE, __version__, provider))
        if provider is None:
            _usual.append(found)
        else:
            _made[provider] = found
    return found
