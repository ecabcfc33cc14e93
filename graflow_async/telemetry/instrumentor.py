"""Telemetry for every run of the process, switched on by hand or by `opentelemetry-instrument`."""

from __future__ import annotations

from typing import Any

from ..options import EVERYWHERE
from .listener import Telemetry


def instrument(telemetry: Telemetry | None = None) -> Telemetry:
    """Trace every run that this process starts from now on, unless it is traced by a listener of its own.

    Args:
        telemetry: what listens; None for `Telemetry()`.

    Returns:
        What listens; what was there before is replaced.
    """
    uninstrument()
    made = telemetry if telemetry is not None else Telemetry()
    EVERYWHERE.append(made)
    return made


def uninstrument() -> None:
    """Trace no runs any more but those that are under way, and those that have a listener of their own."""
    EVERYWHERE[:] = [listener for listener in EVERYWHERE if not isinstance(listener, Telemetry)]


class GraflowInstrumentor:
    """What the command `opentelemetry-instrument` finds under the entry point of this package."""

    def instrument(self, **options: Any) -> None:
        """Trace every run of the process; `tracer_provider` and `meter_provider` are heeded, all else is not."""
        known = {name: options.get(name) for name in ("tracer_provider", "meter_provider")}
        instrument(Telemetry(**known))

    def uninstrument(self, **options: Any) -> None:
        """Stop doing so."""
        del options
        uninstrument()
