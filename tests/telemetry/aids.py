"""What a run has told: its spans as trees, and its numbers by name."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from graflow_async.telemetry import Telemetry


class Heard:
    """A listener with an SDK of its own, and what has arrived there."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])
        self.telemetry = Telemetry(tracer_provider=self.tracers, meter_provider=self.meters)
        self.tracer = self.tracers.get_tracer("user")

    def close(self) -> None:
        """Give everything back."""
        self.tracers.shutdown()
        self.meters.shutdown()

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their starts."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        """Give the spans of a name."""
        return [span for span in self.spans if span.name == name]

    def span(self, name: str) -> ReadableSpan:
        """Give the span of a name, of which there is one."""
        (found,) = self.named(name)
        return found

    def parent(self, span: ReadableSpan) -> str | None:
        """Name the parent of a span."""
        parent = span.parent
        return None if parent is None else self._names()[parent.span_id]

    def links(self, name: str) -> list[str]:
        """Name what a span is linked to."""
        names = self._names()
        return sorted(names[link.context.span_id] for link in self.span(name).links)

    def _names(self) -> dict[int, str]:
        return {context(span).span_id: span.name for span in self.spans}

    def tree(self, *attributes: str) -> list[str]:
        """Draw the spans, each under its parent, siblings by name; with the values of some attributes behind them."""
        below: dict[int, list[ReadableSpan]] = {}
        known = {context(span).span_id for span in self.spans}
        for span in sorted(self.spans, key=lambda span: span.name):
            parent = span.parent.span_id if span.parent is not None and span.parent.span_id in known else 0
            below.setdefault(parent, []).append(span)
        lines: list[str] = []

        def draw(span: ReadableSpan, depth: int) -> None:
            shown = [str(about(span)[name]) for name in attributes if name in about(span)]
            lines.append("  " * depth + " ".join([span.name, *shown]))
            for child in below.get(context(span).span_id, []):
                draw(child, depth + 1)

        for root in below.get(0, []):
            draw(root, 0)
        return lines

    def points(self, name: str) -> dict[tuple[Any, ...], Any]:
        """Give the points of a metric: sums as numbers, histograms as (count, sum); by the values of attributes."""
        data: Any = self._reader.get_metrics_data()
        found: dict[tuple[Any, ...], Any] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name != name:
                        continue
                    for point in metric.data.data_points:
                        key = tuple(value for _, value in sorted(point.attributes.items()))
                        found[key] = point.value if hasattr(point, "value") else (point.count, point.sum)
        return found


def context(span: ReadableSpan) -> Any:
    """Give what identifies a span."""
    return span.get_span_context()


def about(span: ReadableSpan) -> dict[str, Any]:
    """Give the attributes of a span."""
    return dict(span.attributes or {})
