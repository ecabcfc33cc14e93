"""Scenarios 99 to 113 (group H): groups and policies."""

# A task made with the style fixture is typed as the plain function it was made of.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false, reportRedeclaration=false

from __future__ import annotations

import asyncio

import pytest

from graflow_async import (
    ConfigError,
    GraphCompilationError,
    ParallelGroupError,
    TaskWrapper,
    Workflow,
    at_least,
    critical,
    parallel,
    task,
    workflow,
)


def members(style, log, **failing):
    """Make members a, b, c, d; those named in `failing` raise that exception."""

    def made(name):
        def body():
            if name in failing:
                raise failing[name]
            log.append(name)
            return name

        return style.task(name)(body)

    return [made(name) for name in "abcd"]


def after_of(style, log):
    return style.task("after")(lambda: log.append("after"))


def test_099_a_strict_group_fails_with_its_first_failure(style):
    """99 as SPEC 2.6: group id, failed and successful members are told, the successor does not run."""
    log, error = [], ValueError("b broke")
    with workflow("w") as wf:
        a, b, c, _ = members(style, log, b=error)
        a >> parallel(b).set_group_name("g") >> c
    with pytest.raises(ParallelGroupError, match="g") as caught:
        style.run(wf)
    assert caught.value.group_id == "g"
    assert caught.value.failed == {"b": error}
    assert caught.value.exceptions == (error,)
    assert caught.value.successful == {}
    assert log == ["a"]


async def test_099_a_strict_group_cancels_the_rest():
    """99 as SPEC 2.6: who had succeeded is told, who was running sees cancellation and is told as neither."""
    log, waiting = [], asyncio.Event()
    with workflow("w") as wf:

        @task
        async def quick():
            return "quick"

        @task
        async def fails():
            await waiting.wait()
            raise ValueError("broke")

        @task
        async def waits():
            waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        parallel(quick, fails, waits) >> TaskWrapper("after", lambda: log.append("after"))
    with pytest.raises(ParallelGroupError) as caught:
        await wf.run()
    assert list(caught.value.failed) == ["fails"]
    assert caught.value.successful == {"quick": "quick"}
    assert log == ["cancelled"]


async def test_100_best_effort_goes_on_without_the_failed_members():
    """100 and SPEC 10: failed members are absent from the result and present in `run.failures`."""
    error = ValueError("b broke")
    with workflow("w") as wf:

        @task
        async def a():
            return "a"

        @task
        async def b():
            raise error

        @task
        async def after(group):
            return group

        parallel(a, b, policy="best_effort") >> after
    async with wf.start() as run:
        assert await run == {"a": "a"}
    assert run.failures == {"b": error}
    assert run.status == "completed"


@pytest.mark.parametrize("style_of_policy", ["none", "all"])
def test_100_best_effort_never_fails(style_of_policy, style):
    """100: not even when every member fails."""
    failing = {} if style_of_policy == "none" else {name: ValueError(name) for name in "abcd"}
    log = []
    with workflow("w") as wf:
        parallel(*members(style, log, **failing), policy="best_effort") >> after_of(style, log)
    style.run(wf)
    assert log[-1] == "after"


@pytest.mark.parametrize(("failing", "passes"), [("d", True), ("bcd", False), ("", True), ("cd", True)])
def test_101_at_least_counts_successes(failing, passes, style):
    """101: two of four are asked for."""
    log = []
    with workflow("w") as wf:
        made = members(style, log, **{name: ValueError(name) for name in failing})
        parallel(*made, policy=at_least(2)) >> after_of(style, log)
    if passes:
        style.run(wf)
        assert log[-1] == "after"
    else:
        with pytest.raises(ParallelGroupError) as caught:
            style.run(wf)
        assert set(caught.value.failed) == set(failing)
        assert caught.value.successful == {"a": "a"}
        assert log == ["a"]


async def test_101_a_quorum_cancels_the_rest():
    """SPEC 2.6: `at_least(2, cancel_rest=True)` ends as soon as two have succeeded."""
    log, waiting = [], asyncio.Event()
    with workflow("w") as wf:

        @task
        async def a():
            await waiting.wait()
            return "a"

        @task
        async def b():
            await waiting.wait()
            return "b"

        @task
        async def never():
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                log.append("cancelled")

        parallel(never, a, b, policy=at_least(2, cancel_rest=True))
    async with asyncio.timeout(60):
        assert await wf.run() == {"a": "a", "b": "b"}
    assert log == ["cancelled"]


async def test_a_race_has_one_winner():
    """SPEC 2.6: the first success wins, failures before it do not count, the rest are cancelled."""
    with workflow("w") as wf:

        @task
        async def fails():
            raise ValueError("lost")

        @task
        async def wins():
            await asyncio.sleep(0)
            return "won"

        @task
        async def never():
            await asyncio.Event().wait()

        parallel(fails, wins, never, policy="first")
    async with asyncio.timeout(60):
        assert await wf.run() == {"wins": "won"}


def test_a_race_that_nobody_wins_fails(style):
    """SPEC 2.6 and the lead's rule 9: with all members failed the group fails with all of them."""
    errors = {name: ValueError(name) for name in "abcd"}
    with workflow("w") as wf:
        parallel(*members(style, [], **errors), policy="first")
    with pytest.raises(ParallelGroupError) as caught:
        style.run(wf)
    assert caught.value.failed == errors


@pytest.mark.parametrize(("failing", "passes"), [("a", True), ("c", False), ("abd", True)])
def test_102_critical_members_have_to_succeed(failing, passes, style):
    """102: optional members may fail, the critical one may not."""
    log = []
    with workflow("w") as wf:
        made = members(style, log, **{name: ValueError(name) for name in failing})
        parallel(*made, policy=critical(["c"])) >> after_of(style, log)
    if passes:
        style.run(wf)
        assert log[-1] == "after"
    else:
        with pytest.raises(ParallelGroupError, match="c") as caught:
            style.run(wf)
        assert "c" in caught.value.failed
        assert "after" not in log


class Share:
    """A policy of one's own: a share of the members has to succeed."""

    def __init__(self, share):
        self.share = share
        self.seen = []

    def on_group_finished(self, group_id, members, results, ctx):
        good = [r for r in results.values() if r.success]
        self.seen.append((group_id, len(members), sorted(results)))
        if len(good) < self.share * len(results):
            raise RuntimeError(f"only {len(good)} of {len(results)}")


@pytest.mark.parametrize(("share", "passes"), [(0.7, True), (0.8, False)])
def test_103_a_policy_of_ones_own_decides(share, passes, style):
    """103: three of four are enough for 70 %, not for 80 %; it is asked once, after all members."""
    log, policy = [], Share(share)
    with workflow("w") as wf:
        made = members(style, log, d=ValueError("d"))
        parallel(*made, policy=policy).set_group_name("g") >> after_of(style, log)
    if passes:
        style.run(wf)
        assert log[-1] == "after"
    else:
        with pytest.raises(ParallelGroupError) as caught:
            style.run(wf)
        assert "only 3 of 4" in str(caught.value) or "only 3 of 4" in str(caught.value.__cause__)
        assert "after" not in log
    assert policy.seen == [("g", 4, ["a", "b", "c", "d"])]


async def test_103_a_policy_may_be_a_coroutine():
    """SPEC 10: `on_group_finished` async: raising fails the group."""

    class Refuses:
        async def on_group_finished(self, group_id, members, results, ctx):
            await asyncio.sleep(0)
            raise RuntimeError("refused")

    wf = Workflow("w", parallel(TaskWrapper("a", lambda: 1), policy=Refuses()))
    with pytest.raises(ParallelGroupError) as caught:
        await wf.run()
    assert caught.value.successful == {"a": 1}


@pytest.mark.parametrize(
    "make",
    [
        lambda: at_least(-1),
        lambda: critical([]),
        lambda: parallel(TaskWrapper("a", lambda: 1), policy="sometimes"),
        lambda: parallel(TaskWrapper("a", lambda: 1), policy="at_least_n"),
        lambda: parallel(policy=3),
    ],
)
def test_104_policies_that_make_no_sense_are_refused(make):
    """104: a ValueError where they are written."""
    with pytest.raises(ValueError):
        make()
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("policy", [at_least(3), critical(["z"])])
def test_104_policies_that_do_not_fit_are_refused_before_the_run(policy, style):
    """SPEC 10: a GraphCompilationError, nothing has started."""
    log = []
    a, b, _, _ = members(style, log)
    with pytest.raises(GraphCompilationError):
        style.run(Workflow("w", parallel(a, b, policy=policy)))
    assert log == []


@pytest.mark.parametrize("policy", ["strict", "best_effort", "first", at_least(3), critical(["z"]), Share(1)])
def test_104_an_empty_group_passes_under_every_policy(policy, style):
    """SPEC 10: an empty group completes with `{}` whatever its policy asks."""
    assert style.run(Workflow("w", parallel(policy=policy))) == {}


def test_105_a_member_is_retried_before_it_counts_as_failed(style):
    """105: failing twice with two retries is a success."""
    attempts = []
    with workflow("w") as wf:

        @style.task(inject_context=True, max_retries=2)
        def flaky(ctx):
            attempts.append(ctx.attempt)
            if ctx.attempt < 3:
                raise ValueError("again")
            return "flaky"

        parallel(flaky, TaskWrapper("b", lambda: "b"))
    assert style.run(wf) == {"flaky": "flaky", "b": "b"}
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize("policy", ["strict", "best_effort"])
def test_failures_inside_a_branch_skip_its_rest(policy, style):
    """The lead's rule 9: the failure is recorded under the branch's key, which is the id of its last task."""
    log = []
    with workflow("w") as wf:
        a, b, c, _ = members(style, log, a=ValueError("a"))
        parallel(a >> b, c, policy=policy) >> after_of(style, log)
    if policy == "strict":
        with pytest.raises(ParallelGroupError) as caught:
            style.run(wf)
        assert list(caught.value.failed) == ["b"]
        assert "after" not in log
    else:
        style.run(wf)
        assert log == ["c", "after"]
    assert "b" not in log


def test_the_failure_of_an_inner_group_is_one_of_its_branch(style):
    """The lead's rule 9: an inner strict group that fails is a failed member of the tolerant outer one."""
    log = []
    with workflow("w") as wf:
        a, b, c, _ = members(style, log, a=ValueError("a"))
        inner = parallel(a, b).set_group_name("inner")
        parallel(inner, c, policy="best_effort").set_group_name("outer") >> after_of(style, log)
    style.run(wf)
    assert "after" in log
    with workflow("w2") as wf2:
        parallel(parallel(a, b).set_group_name("inner"), c).set_group_name("outer")
    with pytest.raises(ParallelGroupError) as caught:
        style.run(wf2)
    assert caught.value.group_id == "outer"
    assert isinstance(caught.value.failed["inner"], ParallelGroupError)
    assert list(caught.value.failed["inner"].failed) == ["a"]
