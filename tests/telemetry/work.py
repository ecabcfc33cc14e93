"""Tasks for workers. Where GRAFLOW_TEST_SPANS names a file, the process that imports this writes its spans there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from graflow_async import RetryPolicy, TaskExecutionContext, task

SPANS = "GRAFLOW_TEST_SPANS"


def line(span: ReadableSpan) -> str:
    """Write a span as a line."""
    parent, own = span.parent, span.get_span_context()
    told: dict[str, Any] = {
        "name": span.name,
        "trace": own and own.trace_id,
        "id": own and own.span_id,
        "parent": parent and parent.span_id,
        "kind": span.kind.name,
        "status": span.status.status_code.name,
        "service": span.resource.attributes["service.name"],
        "task": (span.attributes or {}).get("graflow.task.id"),
    }
    return json.dumps(told) + "\n"


def spans_in(path: Path) -> list[dict[str, Any]]:
    """Read the spans that a worker has written."""
    return [json.loads(text) for text in path.read_text().splitlines()]


if SPANS in os.environ:
    provider = TracerProvider(resource=Resource({"service.name": "worker"}))
    file = Path(os.environ[SPANS]).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115  # as long as the process
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=file, formatter=line)))
    trace.set_tracer_provider(provider)


def seen() -> tuple[int, int, bool]:
    """Say which span is current here, and whether it is recorded."""
    span = trace.get_current_span()
    return span.get_span_context().trace_id, span.get_span_context().span_id, span.is_recording()


@task(executor="redis")
async def item(n: int) -> tuple[int, int, bool]:
    """Look from a worker's loop, with a span of its own."""
    with trace.get_tracer("user").start_as_current_span(f"user {n}"):
        return seen()


@task(executor="redis")
def threaded() -> tuple[int, int, bool]:
    """Look from a worker's thread."""
    return seen()


@task(executor="redis", inject_context=True)
async def top(ctx: TaskExecutionContext) -> Any:
    """Look, and let children look, which may run on other workers."""
    first = seen()
    values = await ctx.map(item, range(3))
    return first, values, await ctx.call(threaded), first == seen()


@task(executor="redis", retry_policy=RetryPolicy(1, initial_interval=0.0), inject_context=True)
async def flaky(ctx: TaskExecutionContext) -> str:
    """Fail once."""
    if ctx.attempt == 1:
        raise ValueError("once")
    return "done"
