"""Bodies that do not end when they are told to: cancelled again, given their grace, reported, abandoned (SPEC 2.6)."""

from __future__ import annotations

import asyncio

import pytest

import graflow_async as g
from graflow_async import Task, Workflow, parallel
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, Stay, cancel_when, now, timers_left, until


class Stubborn:
    """A body that swallows every cancellation until it is let go, then returns or raises."""

    def __init__(self, swallows: float = float("inf"), value: object = "late") -> None:
        self.__name__ = "stubborn"
        self.began = asyncio.Event()
        self.cancels = 0
        self.let_go = asyncio.Event()
        self.ended = False
        self.swallows = swallows
        self.value = value

    async def __call__(self) -> object:
        self.began.set()
        while self.cancels < self.swallows and not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                self.cancels += 1
        self.ended = True
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value

    async def end(self) -> None:
        self.let_go.set()
        await until(lambda: self.ended)
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", SEEDS)
def test_swallowing_once_keeps_the_value(seed):
    """A body that swallows its cancellation and returns: its value is kept, the run is cancelled all the same."""

    async def main():
        body, after = Stubborn(swallows=1, value="anyway"), []
        run = Workflow("w", Task("t", body) >> Task("after", after.append)).start()
        with pytest.raises(g.GraflowWorkflowCanceledError):
            await cancel_when(run, body.began)
        assert run.results == {"t": "anyway"}
        assert after == []
        assert now() == 0
        assert timers_left() == []

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("late", ["late", ValueError("late")], ids=["returns", "raises"])
def test_swallowing_for_ever_is_reported_and_abandoned(late, seed, caplog):
    """It is cancelled again; after `cancel_grace` it is reported and left behind; what it still does is ignored."""

    async def main():
        body = Stubborn(value=late)
        run = Workflow("w", Task("stubborn_one", body)).start(cancel_grace=7)
        with pytest.raises(g.GraflowWorkflowCanceledError, match="why"):
            await cancel_when(run, body.began, reason="why")
        assert now() == 7
        assert body.cancels >= 2
        assert "'stubborn_one'" in caplog.text
        assert timers_left() == []
        await body.end()
        assert dict(run.results) == {}
        assert dict(run.failures) == {}
        assert run.status == "cancelled"

    run_sim(main, seed)


def test_no_grace_at_all():
    """With `cancel_grace=0` a body that swallows is abandoned at once."""

    async def main():
        body = Stubborn()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await Workflow("w", Task("t", body)).run(cancel_grace=0)
        assert now() == pytest.approx(5, abs=0.1)
        await body.end()

    run_sim(main, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_race_goes_on_without_its_stubborn_loser(seed):
    """A loser that ignores its cancellation holds its group for the grace only; the run then goes on without it."""

    async def main():
        body = Stubborn()

        async def winner():
            await body.began.wait()
            return 1

        race = parallel(Task("winner", winner), Task("loser", body), policy="first").set_group_name("race")

        async def after(race):
            await body.end()
            return dict(race)

        async with Workflow("w", race >> Task("after", after)).start() as run:
            assert await run == {"winner": 1}
        assert now() == 10
        assert "loser" not in run.results
        assert timers_left() == []

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stubborn_body_is_not_waited_for_past_its_timeout_and_grace(seed):
    """A body that ignores the end of its `timeout` is abandoned after the grace and its task is tried again."""

    async def main():
        first = Stubborn()
        attempts = []

        async def body(ctx):
            attempts.append((ctx.attempt, now()))
            return await first() if ctx.attempt == 1 else "second"

        t = Task("t", body, inject_context=True, timeout=5, max_retries=1)
        async with Workflow("w", t).start(cancel_grace=3) as run:
            assert await run == "second"
        assert attempts == [(1, 0), (2, 8)]
        await first.end()
        assert run.results == {"t": "second"}

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_returning_after_the_timeout_is_a_timeout(seed):
    """A body that swallows its timeout and returns a value has timed out all the same."""

    async def main():
        with pytest.raises(g.TaskTimeoutError):
            await Workflow("w", Task("t", Stubborn(swallows=1), timeout=5)).run()
        assert now() == 5

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_up_has_the_whole_grace(seed):
    """A body that cleans up for longer than a second is not cut short while its grace lasts."""

    async def main():
        began, cleaned = asyncio.Event(), []

        async def body():
            try:
                began.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(4)
                cleaned.append(now())

        run = Workflow("w", Task("t", body)).start(cancel_grace=10)
        with pytest.raises(g.GraflowWorkflowCanceledError):
            await cancel_when(run, began)
        assert cleaned == [4]

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_others_of_the_run_are_not_disturbed(seed):
    """Cancelling one child again and again never reaches bodies that run beside it."""

    async def main():
        body = Stubborn()

        async def beside():
            await asyncio.sleep(30)
            return "undisturbed"

        async def parent(ctx):
            other = ctx.submit(Task("beside", beside))
            child = ctx.submit(Task("child", body))
            await body.began.wait()
            child.cancel()
            with pytest.raises(asyncio.CancelledError):
                await child
            assert now() == 10
            return await other

        assert await Workflow("w", Task("t", parent, inject_context=True)).run() == "undisturbed"
        await body.end()
        assert timers_left() == []

    run_sim(main, seed)


def test_a_stubborn_parent_has_its_children_cancelled():
    """Children of a body that is abandoned are cancelled and cleaned up."""

    async def main():
        body, stay = Stubborn(), Stay()

        async def parent(ctx):
            ctx.submit(Task("stay", stay))
            await body()

        run = Workflow("w", Task("t", parent, inject_context=True)).start()
        with pytest.raises(g.GraflowWorkflowCanceledError):
            await cancel_when(run, stay.began)
        assert stay.cleaned
        await body.end()

    run_sim(main, 1)
