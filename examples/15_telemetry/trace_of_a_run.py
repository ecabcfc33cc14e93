"""A run as a trace: what is whose child, what a body adds with spans of its own, and what was measured.

Where spans go is for the SDK: here they stay in memory and are drawn at the end.
"""

from __future__ import annotations

import asyncio
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from graflow_async import RetryPolicy, TaskExecutionContext, Workflow, task, workflow
from graflow_async.telemetry import instrument

PAGES = {"/a": 12, "/b": 30}
down = {"/b"}


@task(retry_policy=RetryPolicy(2, initial_interval=0.0))
async def fetch(path: str) -> int:
    """Get a page; its server is down at first."""
    with trace.get_tracer("shop").start_as_current_span(f"GET {path}"):
        if path in down:
            down.remove(path)
            raise ConnectionError(f"{path} is down")
        return PAGES[path]


@task(inject_context=True)
async def collect(ctx: TaskExecutionContext) -> int:
    """Get all pages, one after the other."""
    return sum(await ctx.map(fetch, list(PAGES), max_concurrency=1))


@task
def report(collect: int) -> str:
    """Look from a thread: the span of this attempt is the current one."""
    trace.get_current_span().set_attribute("shop.size", collect)
    return f"{collect} kB"


async def handle(wf: Workflow) -> str:
    """Run inside of a span, as in a web server that is instrumented: the run belongs to the request."""
    with trace.get_tracer("shop").start_as_current_span("POST /report"):
        return await wf.run()


def draw(spans: tuple[ReadableSpan, ...]) -> None:
    """Print spans under their parents, in the order of their starts."""
    names: dict[int, str] = {}
    below: dict[int, list[Any]] = {}
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        names[number_of(span)] = span.name
        below.setdefault(span.parent.span_id if span.parent else 0, []).append(span)

    def show(span: Any, depth: int) -> None:
        marks = [span.attributes.get("graflow.outcome"), span.status.description]
        marks += [f"after {names[link.context.span_id]}" for link in span.links]
        print(" ".join([("  " * depth + span.name).ljust(24), *filter(None, marks)]).rstrip())
        for child in below.get(number_of(span), []):
            show(child, depth + 1)

    for root in below[0]:
        show(root, 0)


def number_of(span: Any) -> int:
    """Give the number of a span."""
    return span.get_span_context().span_id


def counts(reader: InMemoryMetricReader) -> dict[str, int]:
    """Say how many attempts of which task have ended how."""
    data: Any = reader.get_metrics_data()
    found: dict[str, int] = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        if metric.name == "graflow.task.duration":
            for point in metric.data.data_points:
                of = point.attributes
                found[f"{of['graflow.task.name']} {of['graflow.outcome']}"] = point.count
    return dict(sorted(found.items()))


def main() -> None:
    """Set an SDK up as any program does, and run."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider([reader]))
    instrument()

    with workflow("shop") as wf:
        collect >> report
    print("result:", asyncio.run(handle(wf)))
    draw(exporter.get_finished_spans())
    print("once more:", wf.execute())
    print("attempts:", counts(reader))


if __name__ == "__main__":
    main()
