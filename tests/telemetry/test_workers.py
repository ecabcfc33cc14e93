"""A trace goes on in workers: what they do lies under the attempt that was sent, and bodies find their own span."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.trace import SpanKind

from graflow_async import Workflow
from graflow_async._runtime.orders import OrderWriter, needs
from graflow_async._runtime.reading_orders import OrderReader
from graflow_async.telemetry import names
from tests.aids.loopback import Loopback
from tests.aids.workers import Workers
from tests.telemetry.aids import Heard, about, context
from tests.telemetry.work import SPANS, flaky, item, spans_in, threaded, top

pytestmark = pytest.mark.unrecorded  # real workers, which `--far` and `--shadow` would stand in for


async def test_trace_goes_on_in_workers(
    heard: Heard, workers: Callable[..., Workers], redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each body in a worker has a recorded span of its own, under that of the attempt that was sent; spans nest."""
    told = tmp_path / "spans"
    monkeypatch.setenv(SPANS, str(told))
    workers("w1", "w2")
    top_seen, items, thread_seen, is_same = await Workflow("w", top).run(
        redis_url=redis_url, listeners=[heard.telemetry]
    )
    assert is_same
    there = spans_in(told)
    by_id = {span["id"]: span for span in there}
    (trace_id,) = {span["trace"] for span in there}
    assert trace_id == context(heard.span("run w")).trace_id
    assert heard.tree() == [
        "run w",
        "  task top",
        "    task item",
        "    task item",
        "    task item",
        "    task threaded",
    ]
    sent = {context(span).span_id: span for span in heard.spans if span.kind is SpanKind.PRODUCER}
    assert len(sent) == 5
    taken = [span for span in there if span["kind"] == "CONSUMER"]
    assert sorted(span["name"] for span in taken) == ["process item"] * 3 + ["process threaded", "process top"]
    assert {span["parent"] for span in taken} == set(sent)
    assert all(span["name"].replace("process", "task") == sent[span["parent"]].name for span in taken)
    for name, (trace_seen, id_seen, is_recorded) in (("process top", top_seen), ("process threaded", thread_seen)):
        assert (trace_seen, by_id[id_seen]["name"], is_recorded) == (trace_id, name, True)
    users = [by_id[id_seen] for _, id_seen, _ in items]
    assert sorted(span["name"] for span in users) == ["user 0", "user 1", "user 2"]
    assert {by_id[span["parent"]]["name"] for span in users} == {"process item"}
    assert {span["service"] for span in there} == {"worker"}
    waited = [about(span)[names.WORKER_WAIT] for span in sent.values()]
    assert all(0 < seconds < 60 for seconds in waited)


async def test_worker_without_an_sdk_passes_the_trace_on(
    heard: Heard, workers: Callable[..., Workers], redis_url: str
) -> None:
    """A worker that records nothing has the span of the attempt as the current one; retries show on the run's side."""
    workers("w1")
    seen = await Workflow("w", threaded).run(redis_url=redis_url, listeners=[heard.telemetry])
    span = context(heard.span("task threaded"))
    assert seen == (span.trace_id, span.span_id, False)
    assert await Workflow("f", flaky).run(redis_url=redis_url, listeners=[heard.telemetry]) == "done"
    assert heard.tree("graflow.outcome")[:4] == [
        "run f completed",
        "  task flaky completed",
        "    attempt flaky retrying",
        "    attempt flaky completed",
    ]


async def test_block_that_cannot_be_loaded_is_left_out(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that lacks what a block needs runs the body without it, and says so."""
    orders: list[bytes] = []

    class Changed(OrderReader):
        def read(self, body: bytes):
            orders.append(body)
            return super().read(body.replace(b"graflow_async.telemetry.blocks", b"graflow_async.telemetry.bricks"))

    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("tests.aids.loopback.OrderReader", Changed)
        trace_id, _, _ = await Workflow("w", item(1)).run(executor={"redis": Far()}, listeners=[heard.telemetry])
    assert not trace_id or trace_id != context(heard.span("run w")).trace_id
    assert [r.message for r in caplog.records if "cannot be loaded here" in r.message]
    assert orders


class Far(Loopback):
    """The other side of a border, in this process, under the name of the real one."""

    name = "redis"


async def test_what_travels_does_not_change_what_a_job_is(heard: Heard) -> None:
    """The order by which a job is known again after a resume does not hold the trace, which is another one then."""
    plain = Workflow("w", item(1))
    written: list[tuple[bytes, bytes]] = []

    class Writes(OrderWriter):
        def write(self, *args, is_bare=False):
            del is_bare
            full = super().write(*args)
            written.append((full, super().write(*args, is_bare=True)))
            return full

    monkey = pytest.MonkeyPatch()
    for listeners in ([], [heard.telemetry], [heard.telemetry]):
        with monkey.context() as patch:
            patch.setattr("tests.aids.loopback.OrderWriter", Writes)
            await plain.run(executor={"redis": Far()}, listeners=listeners)
    (bare, _), (one, other), (two, another) = written
    assert bare == other == another
    assert len({bare, one, two}) == 3
    assert needs(bare)[0] == needs(one)[0]
