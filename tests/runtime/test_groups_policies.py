"""Groups under failure: every policy, its own objects, what the error carries (SPEC 1.2, 2.6, 10)."""

from __future__ import annotations

import asyncio
import pickle

import pytest

import graflow_async as g
from graflow_async import ParallelGroupError, Task, Workflow, at_least, critical, parallel
from tests.aids.simloop import run_sim
from tests.runtime.parts import SEEDS, Stay, now, through, timers_left


def member(name: str, moment: float, error: BaseException | None = None, log: list | None = None) -> Task:
    """Give a member that ends at a moment with its name or with an error; a cancelled one is logged."""

    async def body():
        try:
            await asyncio.sleep(moment - now())
        except asyncio.CancelledError:
            if log is not None:
                log.append(name)
            raise
        if error is not None:
            raise error
        return name.upper()

    return Task(name, body)


def boom(name: str) -> ValueError:
    return ValueError(f"{name} failed")


@pytest.mark.parametrize("seed", SEEDS)
def test_strict_cancels_the_rest_and_says_who(seed):
    """The default: the first failure cancels the rest; the error names group, failed and successful members."""

    async def main():
        log, error, after = [], boom("b"), []
        group = (member("a", 1) | member("b", 2, error) | member("c", 3, None, log)).set_group_name("trio")
        run = Workflow("w", group >> Task("after", lambda: after.append(1))).start()
        with pytest.raises(ParallelGroupError) as caught:
            await through(run)
        failure = caught.value
        assert isinstance(failure, ExceptionGroup)
        assert failure.group_id == "trio"
        assert dict(failure.failed) == {"b": error}
        assert failure.failed["b"] is error
        assert dict(failure.successful) == {"a": "A"}
        assert failure.exceptions == (error,)
        for words in ("trio", "b"):
            assert words in str(failure)
        assert log == ["c"]
        assert after == []
        assert now() == 2
        assert run.status == "failed"
        assert run.failures["b"] is error
        assert timers_left() == []

    run_sim(main, seed)


def test_the_error_survives_pickling():
    """A ParallelGroupError keeps its fields through pickle, and `except*` finds the members' exceptions."""

    async def main():
        with pytest.raises(ParallelGroupError) as caught:
            await Workflow("w", parallel(member("a", 1), member("b", 2, boom("b"))).set_group_name("duo")).run()
        return caught.value

    error = run_sim(main, 1)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.group_id, dict(copy.successful), list(copy.failed)) == ("duo", {"a": "A"}, ["b"])
    assert copy.__notes__ == error.__notes__
    found = []
    try:
        raise error
    except* ValueError as group:
        found.extend(group.exceptions)
    assert found == [error.failed["b"]]


@pytest.mark.parametrize("seed", SEEDS)
def test_strict_waits_for_clean_up(seed):
    """The group fails only when its cancelled members have cleaned up."""

    async def main():
        stay = Stay()
        with pytest.raises(ParallelGroupError):
            await Workflow("w", Task("stay", stay) | member("b", 1, boom("b"))).run()
        assert stay.cleaned

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_best_effort_leaves_failures_out(seed):
    """`best_effort` never fails; failed members are absent from the result and present in `run.failures`."""

    async def main():
        members = [member("c", 3), member("a", 1, boom("a")), member("b", 2)]
        group = parallel(*members, policy="best_effort").set_group_name("g")

        async def after(g):
            return g

        async with Workflow("w", group >> Task("after", after)).start() as run:
            assert await run == {"c": "C", "b": "B"}
        assert list(run.results["g"]) == ["c", "b"], "as written"
        assert list(run.failures) == ["a"]
        assert now() == 3

    run_sim(main, seed)


def test_best_effort_with_no_success_at_all():
    """A best-effort group whose members all fail has the result `{}`."""

    async def main():
        return await Workflow("w", parallel(member("a", 1, boom("a")), policy="best_effort")).run()

    assert run_sim(main, 1) == {}


@pytest.mark.parametrize(
    ("policy", "failing", "end", "value"),
    [
        (at_least(2), "a", 4, {"b": "B", "c": "C", "d": "D"}),
        (at_least(2), "abc", 4, None),
        (at_least(0), "abcd", 4, {}),
        (at_least(4), "", 4, {"a": "A", "b": "B", "c": "C", "d": "D"}),
        (at_least(2, cancel_rest=True), "a", 3, {"b": "B", "c": "C"}),
        (at_least(2, cancel_rest=True), "", 2, {"a": "A", "b": "B"}),
        (critical(["a", "c"]), "bd", 4, {"a": "A", "c": "C"}),
        (critical(["b"]), "b", 2, None),
        (critical(["b"]), "ab", 2, None),
        ("first", "", 1, {"a": "A"}),
        ("first", "ab", 3, {"c": "C"}),
        ("first", "abcd", 4, None),
    ],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_policies(policy, failing, end, value, seed):
    """Four members that end at 1, 2, 3, 4: when the group ends, with which result, and who is cancelled."""

    async def main():
        log = []
        members = [member(n, i + 1, boom(n) if n in failing else None, log) for i, n in enumerate("abcd")]
        group = parallel(*members, policy=policy).set_group_name("g")
        async with Workflow("w", group >> member("after", 10)).start() as run:
            if value is None:
                with pytest.raises(ParallelGroupError) as caught:
                    await run
                assert set(caught.value.failed) <= set(failing)
                assert now() == end
            else:
                assert await run == "AFTER"
                assert run.results["g"] == value
        ended = [n for i, n in enumerate("abcd") if i + 1 <= end]
        assert sorted(log) == sorted(set("abcd") - set(ended))
        assert timers_left() == []

    run_sim(main, seed)


@pytest.mark.parametrize("policy", ["strict", "best_effort", "first", at_least(3), critical(["x"])])
async def test_an_empty_group_completes_with_an_empty_result(policy):
    """`parallel()` of none completes at once with `{}` under every policy."""
    assert await Workflow("w", parallel(policy=policy)).run() == {}


class Judge:
    """A policy of one's own that notes what it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.seen = []

    def on_group_finished(self, group_id, members, results, ctx):
        self.seen.append((group_id, list(members), dict(results), ctx))
        if self.error is not None:
            raise self.error


class AsyncJudge(Judge):
    async def on_group_finished(self, group_id, members, results, ctx):
        await asyncio.sleep(0)
        super().on_group_finished(group_id, members, results, ctx)


@pytest.mark.parametrize("kind", [Judge, AsyncJudge])
async def test_own_policy_that_lets_pass(kind):
    """`on_group_finished` sees every member's outcome when all have ended; returning lets the group pass."""
    judge, error = kind(), ValueError("b")

    async def bad():
        raise error

    group = parallel(Task("a", lambda: 1), Task("b", bad), policy=judge).set_group_name("g")
    async with Workflow("w", group).start() as run:
        assert await run == {"a": 1}
    [(group_id, members, results, ctx)] = judge.seen
    assert (group_id, len(members), list(results)) == ("g", 2, ["a", "b"])
    assert results["a"].success
    assert results["a"].value == 1
    assert not results["b"].success
    assert results["b"].error is error
    assert results["b"].error_message == "b"
    assert ctx.run_id == run.run_id
    assert run.status == "completed"


@pytest.mark.parametrize("kind", [Judge, AsyncJudge])
async def test_own_policy_that_raises(kind):
    """Raising in `on_group_finished` fails the group with a ParallelGroupError caused by it."""
    error, after = RuntimeError("not good enough"), []
    group = parallel(Task("a", lambda: 1), Task("b", lambda: 2), policy=kind(error)).set_group_name("g")
    with pytest.raises(ParallelGroupError) as caught:
        await Workflow("w", group >> Task("after", lambda: after.append(1))).run()
    assert caught.value.group_id == "g"
    assert dict(caught.value.successful) == {"a": 1, "b": 2}
    assert "not good enough" in f"{caught.value} {caught.value.exceptions} {caught.value.__cause__}"
    assert after == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_failing_branch_skips_its_rest(seed):
    """In a branch of several tasks a failure skips the rest; the key is that of the branch's last task."""

    async def main():
        ran = []
        branch = member("a", 1, boom("a")) >> Task("b", lambda: ran.append("b"))
        group = parallel(branch, member("c", 2) >> member("d", 3), policy="best_effort").set_group_name("g")
        async with Workflow("w", group).start() as run:
            assert await run == {"d": "D"}
        assert ran == []
        assert list(run.failures) == ["a"]

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_inner_groups_failure_is_one_of_its_branch(seed):
    """A failing inner group fails its branch of the outer group, whose policy then decides."""

    async def main():
        log = []
        inner = parallel(member("a", 1, boom("a")), member("b", 9, None, log)).set_group_name("inner")
        outer = parallel(inner, member("c", 2), policy="best_effort").set_group_name("outer")
        async with Workflow("w", outer).start() as run:
            assert await run == {"c": "C"}
        assert isinstance(run.failures["inner"], ParallelGroupError)
        assert log == ["b"]
        assert now() == 2

    run_sim(main, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_members_in_flight_at_every_depth_are_cancelled(seed):
    """Cancelling a group reaches children, maps, child runs, delays and backoffs of its members."""

    async def main():
        log = []
        retry = g.RetryPolicy(1, initial_interval=500, max_interval=500)

        async def parent(ctx):
            handle = ctx.submit(member("child", 50, None, log))
            await ctx.map(Task("item", item), range(3))
            await handle

        async def item(n):
            await member(f"item{n}", 60, None, log).func()

        async def runs(ctx):
            await ctx.run_workflow(Workflow("inner", member("deep", 70, None, log)))

        async def delays(ctx):
            ctx.next_task(member("delayed", 999), delay=500)

        async def fails():
            raise boom("fails")

        group = parallel(
            Task("parent", parent, inject_context=True),
            Task("runs", runs, inject_context=True),
            Task("delays", delays, inject_context=True),
            Task("fails", fails, retry_policy=retry),
            member("winner", 5),
            policy="first",
        ).set_group_name("g")
        async with Workflow("w", group >> member("after", 6)).start() as run:
            assert await run == "AFTER"
        assert run.results["g"] == {"winner": "WINNER"}
        assert sorted(log) == ["child", "deep", "item0", "item1", "item2"]
        assert now() == 6
        assert timers_left() == []

    run_sim(main, seed)


def test_a_wished_group_fails_its_parent():
    """A group run by `next_task` that fails by its policy fails the parent with the ParallelGroupError."""

    async def main():
        async def body(ctx):
            ctx.next_task(parallel(member("a", 1, boom("a")), member("b", 2)).set_group_name("g"))

        run = Workflow("w", Task("t", body, inject_context=True)).start()
        with pytest.raises(ParallelGroupError) as caught:
            await through(run)
        assert caught.value.group_id == "g"
        assert list(caught.value.failed) == ["a"]

    run_sim(main, 1)


def test_an_awaited_group_gives_its_result_or_raises():
    """`ctx.call(group)` gives the group's mapping, or raises its error, which the parent may catch."""

    async def main():
        async def body(ctx):
            good = await ctx.call(parallel(member("a", 1), member("b", 2)))
            with pytest.raises(ParallelGroupError) as caught:
                await ctx.call(parallel(member("c", 1), member("d", 3, boom("d"))))
            return good, dict(caught.value.successful)

        return await Workflow("w", Task("t", body, inject_context=True)).run()

    assert run_sim(main, 1) == ({"a": "A", "b": "B"}, {"c": "C"})
