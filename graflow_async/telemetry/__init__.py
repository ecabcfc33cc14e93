"""Traces and metrics of runs, by OpenTelemetry (extra `otel`).

`Telemetry()` is a listener: give it to a run (`listeners=[Telemetry()]`), or have every run of this process traced
with `instrument()`. Only OpenTelemetry's API is needed here; where spans and metrics go is what its SDK is told, by
code or by the usual environment variables (`OTEL_SERVICE_NAME`, `OTEL_TRACES_EXPORTER`, `OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_SDK_DISABLED`). Without an SDK nothing is recorded, and a trace that comes from outside still goes through.

A run has a span (`run NAME`), a child of what is current where it was started; a task has one (`task NAME`), under
the task that started it, or else under its run, and linked to the tasks before it; each further turn has another. A
task that may be tried again has a span for each attempt (`attempt NAME`) under its own, and one that was sent to a
worker has one there (`process NAME`). Questions are spans of their task (`wait TYPE`). While a body runs, the span of
its attempt is the current one: what it does with other instrumented libraries belongs to it.

In this package `names` are the words of spans and metrics, `instruments` what is measured, `blocks` what makes a span
current, `listener` what runs talk to, and `instrumentor` what `opentelemetry-instrument` finds.
"""

from __future__ import annotations

try:
    import opentelemetry.trace as _trace
except ModuleNotFoundError as error:
    hint = "telemetry needs opentelemetry-api: pip install 'graflow-async[otel]'"
    raise ModuleNotFoundError(hint, name=error.name) from error

from .instrumentor import GraflowInstrumentor, instrument, uninstrument
from .listener import Telemetry

del _trace

__all__ = ["GraflowInstrumentor", "Telemetry", "instrument", "uninstrument"]
