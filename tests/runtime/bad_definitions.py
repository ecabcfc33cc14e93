"""Rows of the table of bad input: graphs, tasks and groups that make no sense."""

from __future__ import annotations

import graflow_async as g
from graflow_async import Task, Workflow, chain, parallel, task, workflow
from tests.runtime.bad_table import bad, inside, needs, nodes, one

# -- the graph ------------------------------------------------------------------------------------------------


@bad(g.GraphCompilationError, "a -> b", "where to start", "wf.run('a')")
async def cycle_without_start():
    a, b = nodes("a", "b")
    await Workflow("w", a >> b >> a).run()


@bad(g.DuplicateTaskError, "'a'", "bad_definitions.py", "another id")
async def duplicate_in_a_block():
    with workflow("w"):
        task("a")(lambda: 1)
        task("a")(lambda: 2)


@bad(g.DuplicateTaskError, "'a'", "bad_definitions.py", "another id")
async def duplicate_linked():
    await Workflow("w", task("a")(lambda: 1) >> task("a")(lambda: 2)).run()


@bad(g.DuplicateTaskError, "'body'", "another id")
async def duplicate_next_task():
    async def body(ctx):
        ctx.next_task(Task("body", lambda: 1))

    await inside(body)


@bad(g.DuplicateTaskError, "'x'", "another id")
async def duplicate_among_children():
    async def body(ctx):
        ctx.next_task(Task("x", lambda: 1))
        ctx.next_task(Task("x", lambda: 2))

    await inside(body)


@bad(g.GraphCompilationError, "'nope'", "'a'")
async def unknown_start_id():
    await Workflow("w", nodes("a")[0]).run("nope")


@bad(g.GraphCompilationError, "start task z", "'a', 'b'")
async def start_task_not_in_the_graph():
    a, b, z = nodes("a", "b", "z")
    await Workflow("w", a >> b).run(z)


@bad(g.GraphCompilationError, "no task")
async def empty_workflow():
    await Workflow("w").run()


@bad(TypeError, "tasks, chains and groups")
async def workflow_of_a_number():
    Workflow("w", 3)  # type: ignore[arg-type]


@bad(TypeError, "next_task", "int")
async def next_task_of_a_number():
    async def body(ctx):
        ctx.next_task(3)

    await inside(body)


@bad(g.GraphCompilationError, "next_task", "start")
async def next_task_of_a_cycle():
    async def body(ctx):
        a, b = nodes("a", "b")
        ctx.next_task(a >> b >> a)

    await inside(body)


@bad(TypeError, ">>", "int")
async def wrong_right_operand_of_chain():
    one >> 3  # type: ignore[operator]


@bad(TypeError, ">>", "str")
async def wrong_left_operand_of_chain():
    "x" >> one  # type: ignore[operator]


@bad(TypeError, "|", "int")
async def wrong_operand_of_group():
    one | 3  # type: ignore[operator]


@bad(TypeError, ">>", "@task")
async def plain_function_as_operand():
    one >> print  # type: ignore[operator]


@bad(ValueError, "chain")
async def chain_of_none():
    chain()


@bad(TypeError, "parallel", "int")
async def parallel_of_a_number():
    parallel(one, 3)  # type: ignore[arg-type]


# -- definitions ----------------------------------------------------------------------------------------------


@bad(g.DefinitionError, "lambda", "id")
async def lambda_without_id():
    task(lambda: 1)


@bad(g.DefinitionError, "callable", "int")
async def not_callable():
    Task("x", 3)  # type: ignore[arg-type]


@bad(g.DefinitionError, "id")
async def empty_id():
    Task("")


@bad(g.DefinitionError, "id")
async def empty_bound_id():
    one(task_id="")


@bad(g.ConfigError, "'a'", "'b'")
async def two_ids():
    task("a", id="b")(lambda: 1)  # pyright: ignore[reportCallIssue]  # the mistake under test


@bad(g.DefinitionError, "task already", "task_id")
async def task_of_a_task():
    task(one)


@bad(g.ConfigError, "retires", "max_retries")
async def unknown_option_of_a_task():
    Task("x", None, retires=3)  # type: ignore[call-arg]


@bad(g.ConfigError, "timeout", "greater than 0", "-1")
async def negative_timeout():
    Task("x", None, timeout=-1)


@bad(g.ConfigError, "max_retries", "-1")
async def negative_retries():
    Task("x", None, max_retries=-1)


@bad(g.ConfigError, "max_cycles", "0")
async def zero_cycles():
    Task("x", None, max_cycles=0)


@bad(g.ConfigError, "limits", "list of names")
async def limits_as_text():
    Task("x", None, limits="api")


@bad(g.ConfigError, "on_crash", "'retry'", "'fail'")
async def unknown_on_crash():
    Task("x", None, on_crash="ignore")


@bad(g.ConfigError, "retry_policy", "RetryPolicy")
async def retry_policy_as_number():
    Task("x", None, retry_policy=3)  # type: ignore[arg-type]


@bad(g.ConfigError, "retry_on", "exception class")
async def retry_on_a_number():
    g.RetryPolicy(retry_on=3)  # type: ignore[arg-type]


@bad(g.ConfigError, "Rate.count", "at least 1")
async def rate_of_zero():
    g.Rate(0)


@bad(g.ConfigError, "Cache.ttl", "greater than 0")
async def cache_with_negative_ttl():
    g.Cache(ttl=-1)


@bad(g.BindingError, "inject_context", "parameter")
async def inject_context_without_a_parameter():
    await Workflow("w", Task("x", lambda: 1, inject_context=True)).run()


@bad(g.BindingError, "'bogus'", "value")
async def unknown_keyword_when_binding():
    needs(bogus=1)


@bad(g.BindingError, "1 positional", "2 were given")
async def too_many_positional():
    needs(1, 2)  # pyright: ignore[reportCallIssue]  # the mistake under test


@bad(g.BindingError, "'value'", "by position and by name")
async def bound_twice():
    needs(1, value=2)


@bad(g.BindingError, "'bogus'", "value")
async def unknown_keyword_of_a_map():
    needs.map([1], bogus=1)


@bad(g.BindingError, "'bogus'")
async def unknown_keyword_of_submit():
    await inside(lambda ctx: ctx.submit(needs, bogus=1))


# -- groups ---------------------------------------------------------------------------------------------------


@bad(g.ConfigError, "'lenient'", "best_effort", "at_least")
async def unknown_policy():
    parallel(one, policy="lenient")


@bad(g.ConfigError, "at_least(n)")
async def at_least_without_a_number():
    parallel(one, policy="at_least_n")


@bad(g.ConfigError, "critical([ids])")
async def critical_without_ids():
    parallel(one, policy="critical")


@bad(g.ConfigError, "on_group_finished")
async def policy_that_judges_nothing():
    parallel(one, policy=object())  # type: ignore[arg-type]


@bad(g.GraphCompilationError, "3 member", "at_least(5)", "lower n")
async def at_least_5_of_3():
    await Workflow("w", parallel(*nodes("a", "b", "c"), policy=g.at_least(5))).run()


@bad(g.GraphCompilationError, "'z'", "critical", "a, b")
async def critical_member_unknown():
    await Workflow("w", parallel(*nodes("a", "b"), policy=g.critical(["z"]))).run()


@bad(g.ConfigError, "max_concurrency", "at least 1")
async def zero_max_concurrency_of_a_group():
    parallel(one, max_concurrency=0)


@bad(g.ConfigError, "name", "non-empty")
async def empty_group_name():
    parallel(one).set_group_name("")
