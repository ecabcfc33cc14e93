"""Rows of the table of bad input: options of runs, parameters, children, and calls at the wrong place."""

from __future__ import annotations

import asyncio
import threading

import graflow_async as g
from graflow_async import Task, Workflow, workflow
from tests.runtime.bad_table import bad, inside, needs, one

# -- the run --------------------------------------------------------------------------------------------------


@bad(g.ConfigError, "'max_concurency'", "max_concurrency")
async def unknown_option_of_a_run():
    await Workflow("w", one).run(max_concurency=3)  # type: ignore[call-arg]


@bad(g.ConfigError, "max_concurrency", "at least 1")
async def zero_max_concurrency_of_a_run():
    await Workflow("w", one).run(max_concurrency=0)


@bad(g.ConfigError, "timeout", "greater than 0")
async def negative_timeout_of_a_run():
    await Workflow("w", one).run(timeout=-1)


@bad(g.ConfigError, "cancel_grace", "at least 0")
async def negative_grace():
    await Workflow("w", one).run(cancel_grace=-1)


@bad(g.ConfigError, "inputs", "mapping")
async def inputs_that_are_no_mapping():
    await Workflow("w", one).run(inputs=[1, 2])  # type: ignore[arg-type]


@bad(g.ConfigError, "'x'", "'gpu'", "process")
async def unknown_executor():
    await Workflow("w", Task("x", lambda: 1, executor="gpu")).run()


@bad(g.ConfigError, "'x'", "'api'", "limits={")
async def unknown_limit():
    await Workflow("w", Task("x", lambda: 1, limits=["api"])).run()


@bad(g.ConfigError, "execute(job)")
async def executor_that_does_not_execute():
    await Workflow("w", one).run(executor=object())


@bad(g.ConfigError, "listener", "on_event")
async def bad_listener():
    await Workflow("w", one).run(listeners=[3])


@bad(g.ConfigError, "provide", "name or a type")
async def provide_with_a_bad_key():
    Workflow("w", one).provide(3, 4)  # type: ignore[arg-type]


@bad(g.GraflowRuntimeError, "await wf.run()")
async def execute_on_a_running_loop():
    Workflow("w", one).execute()


@bad(g.GraflowRuntimeError, "not started", "async with")
async def run_awaited_before_start():
    await Workflow("w", one).start()


@bad(g.GraflowRuntimeError, "started before", "wf.start()")
async def run_started_twice():
    async with Workflow("w", one).start() as run:
        await run
        async with run:
            pass


@bad(g.GraflowRuntimeError, "inside tasks")
async def context_outside_of_a_task():
    g.current_context()


# -- parameters and children ----------------------------------------------------------------------------------


@bad(g.BindingError, "'needs'", "'value'", "no predecessor", "bind it", "inputs=")
async def parameter_without_a_value():
    await Workflow("w", needs).run()


@bad(g.BindingError, "'needs'", "'value'", "'a'", "'b'", "bind it")
async def two_predecessors_with_one_key():
    with workflow("w") as wf:
        needed = Task("needs", needs.func)
        Task("a", lambda: {"value": 1}) >> needed
        Task("b", lambda: {"value": 2}) >> needed
    await wf.run()


@bad(ZeroDivisionError, "division")
async def generator_that_raises_as_map_input():
    await inside(lambda ctx: ctx.map(one, (1 // n for n in (1, 0))))


@bad(ZeroDivisionError, "division")
async def async_generator_that_raises_as_map_input():
    async def numbers():
        for n in (1, 0):
            yield 1 // n

    await inside(lambda ctx: ctx.map(one, numbers()))


@bad(g.BindingError, "str", "unmapped(x)")
async def map_over_text():
    await inside(lambda ctx: ctx.map(one, "abc"))


@bad(g.BindingError, "bytes", "unmapped(x)")
async def map_over_bytes():
    await inside(lambda ctx: ctx.map(one, b"abc"))


@bad(g.BindingError, "dict", "unmapped(x)", "items()")
async def map_over_a_mapping():
    await one.map({"a": 1})


@bad(g.BindingError, "[2, 1]", "equal")
async def unequal_lengths():
    started = []
    try:
        await inside(lambda ctx: ctx.map(Task("pair", lambda a, b: started.append(a)), [1, 2], [1]))
    finally:
        assert not started, "lengths of sized inputs are compared before anything starts"


@bad(g.BindingError, "equal")
async def unequal_lengths_of_generators():
    await inside(lambda ctx: ctx.map(Task("pair", lambda a, b: a), (n for n in (1, 2)), (n for n in (1,))))


@bad(g.BindingError, "map", "at least one iterable")
async def nothing_to_map():
    await inside(lambda ctx: ctx.map(one, 3))


@bad(g.ConfigError, "max_concurrency", "at least 1")
async def zero_max_concurrency_of_a_map():
    await inside(lambda ctx: ctx.map(one, [1], max_concurrency=0))


@bad(g.ConfigError, "delay", "at least 0")
async def negative_delay():
    async def body(ctx):
        ctx.next_task(one, delay=-1)

    await inside(body)


@bad(TypeError, "'body'", "another task", "next_task")
async def next_iteration_with_another_task():
    async def body(ctx):
        ctx.next_iteration(one(2))

    await inside(body)


@bad(g.GraflowRuntimeError, "'body'", "jump", "choose one")
async def next_iteration_then_goto():
    async def body(ctx):
        ctx.next_iteration()
        ctx.next_task(one, goto=True)

    await inside(body)


@bad(g.GraflowRuntimeError, "'body'", "jump", "choose one")
async def goto_then_next_iteration():
    async def body(ctx):
        ctx.next_task(one, goto=True)
        ctx.next_iteration()

    await inside(body)


@bad(g.BindingError, "'body'", "no parameter")
async def data_for_an_iteration_without_a_parameter():
    async def body(ctx):
        ctx.next_iteration(3)

    await inside(body)


@bad(g.GraflowRuntimeError, "'x'", "event loop", "async def", "thread")
async def blocking_verb_in_an_inline_task():
    await Workflow("w", Task("x", lambda ctx: ctx.call(one), inject_context=True, executor="inline")).run()


@bad(g.GraflowRuntimeError, "not ended", "await it")
async def result_of_a_pending_child():
    async def body(ctx):
        ctx.submit(one).result()

    await inside(body)


@bad(g.GraflowRuntimeError, "'body'", "has ended", "'one'")
async def child_of_a_task_that_has_ended():
    kept = []

    async def body(ctx):
        kept.append(ctx)

    await inside(body)
    await kept[0].call(one)


@bad(asyncio.CancelledError, "'one'", "cancelled")
async def await_of_a_cancelled_child_after_the_run():
    kept = []

    async def body(ctx):
        kept.append(ctx.submit(one))
        kept[0].cancel()

    await inside(body)
    await kept[0]


@bad(g.NotSerializableError, "argument", "lock", "plain data")
async def argument_that_cannot_be_pickled():
    await Workflow("w", Task("x", id, executor="process")(threading.Lock())).run()


@bad(g.NotSerializableError, "result", "lock", "plain data")
async def result_that_cannot_be_pickled():
    await Workflow("w", Task("x", threading.Lock, executor="process")).run()


@bad(g.ConfigError, "'x'", "process", "context")
async def process_task_that_wants_a_context():
    await Workflow("w", Task("x", lambda ctx: 1, inject_context=True, executor="process")).run()


@bad(g.ConfigError, "'x'", "process", "context")
async def process_child_that_wants_a_context():
    await inside(lambda ctx: ctx.call(Task("x", lambda ctx: 1, inject_context=True, executor="process")))


@bad(g.ConfigError, "'x'", "'gpu'", "process")
async def unknown_executor_of_a_child():
    await inside(lambda ctx: ctx.call(Task("x", lambda: 1, executor="gpu")))


@bad(g.ConfigError, "'x'", "'api'", "limits={")
async def unknown_limit_of_a_child():
    async def body(ctx):
        ctx.next_task(Task("x", lambda: 1, limits=["api"]))

    await inside(body)
