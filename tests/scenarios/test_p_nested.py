"""Scenarios 174 to 176 (group P): nested workflows, and the expected output of the scripts of seed 000."""

# ruff: noqa: T201  # the scripts print

from __future__ import annotations

import pytest

from graflow_async import TaskWrapper, chain, current_context, task, workflow


def test_174_an_inner_workflow_runs_inside_a_task(style):
    """174: its nodes stay out of the outer graph, its value comes back, ids may be the same as outside."""
    log = []
    with workflow("outer") as outer:

        @task
        def outer_task():
            with workflow("inner") as inner:

                @task
                def outer_task():
                    log.append("inner 1")

                @task
                def second():
                    log.append("inner 2")
                    return "inner value"

                outer_task >> second
                return inner.execute()

        outer_task >> style.task("after")(lambda value: (log.append("after"), value)[1])
    assert style.run(outer) == "inner value"
    assert outer.graph.nodes == ["outer_task", "after"]
    assert log == ["inner 1", "inner 2", "after"]


def test_174_no_block_is_open_inside_a_running_task(style):
    """SPEC 1.3: definitions and operators in a task build values; the workflow's graph does not change."""
    log = []
    with workflow("w") as wf:

        @style.task
        def maker():
            made = [TaskWrapper(name, lambda name=name: log.append(name)) for name in "ab"]
            chain(*made)
            made[0] | made[1]
            return current_context().task_id

        assert style.run(wf) == "maker"
        assert style.run(wf) == "maker"
    assert log == []
    assert wf.graph.nodes == ["maker"]


def test_175_dynamic_tasks_script_batches(capsys):
    """175, Scenario 1: five tasks are made in a loop and all run."""
    done = []
    print("Scenario 1: Batch Processing")
    print("Creating 5 processing tasks dynamically...")
    with workflow("batch") as wf:
        for i in range(5):

            @task(id=f"process_item_{i}")
            def process_item(i=i):
                done.append(i)

            print(f"✅ Task process_item_{i} created")
        wf.execute()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == ["✅ Task process_item_0 created", "✅ Task process_item_1 created"]
    assert sorted(done) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("flags", "order"),
    [
        ({"enable_validation", "enable_transform"}, ["extract", "validate", "transform", "load"]),
        ({"enable_transform"}, ["extract", "transform", "load"]),
        (set(), ["extract", "load"]),
    ],
)
def test_175_dynamic_tasks_script_pipeline(flags, order, style):
    """175, Scenario 2: the configuration decides on the steps, which run in order."""
    log = []
    with workflow("conditional") as wf:
        names = ["extract"]
        names += ["validate"] if "enable_validation" in flags else []
        names += ["transform"] if "enable_transform" in flags else []
        pipeline = None
        for name in [*names, "load"]:
            step = style.task(name)(lambda name=name: log.append(name))
            pipeline = step if pipeline is None else pipeline >> step
    style.run(wf)
    assert log == order


@pytest.mark.parametrize(("value", "expected"), [(150, 300), (50, 60)])
def test_176_runtime_script_conditional_creation(value, expected, style, capsys):
    """176, Scenario 1: 150 becomes 300 by the high-value task, 50 becomes 60 by the other."""
    with workflow("conditional") as wf:

        @style.task(inject_context=True)
        def process_data(ctx, data):
            print(f"Processing data: value={data}")
            if data > 100:
                print("✅ Value > 100, creating high-value task")
                high = style.task("high")(lambda data: print(f"High-value processing: {data} → {data * 2}") or data * 2)
                ctx.next_task(high, goto=True)
            else:
                ctx.next_task(style.task("low")(lambda data: data + 10), goto=True)

    assert style.run(wf, inputs={"data": value}) == expected
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Processing data: value={value}"
    assert lines[1:] == (
        ["✅ Value > 100, creating high-value task", "High-value processing: 150 → 300"] if value > 100 else []
    )


def test_176_runtime_script_iterations(style, capsys):
    """176, Scenario 2: the printed accuracies, the end, and the saved model."""
    steps = iter([0.5, 0.65, 0.8, 0.95])
    saved = []
    with workflow("training") as wf:

        @style.task(inject_context=True)
        def train(ctx, iteration=0):
            accuracy = next(steps)
            print(f"Iteration {iteration}: accuracy={accuracy:.2f}")
            if accuracy >= 0.95:
                print("✅ Converged! Saving final model")
                ctx.next_task(TaskWrapper("save", style.body(lambda: saved.append(accuracy))))
            else:
                ctx.next_iteration(iteration + 1)

        style.run(wf)
    assert capsys.readouterr().out.splitlines() == [
        "Iteration 0: accuracy=0.50",
        "Iteration 1: accuracy=0.65",
        "Iteration 2: accuracy=0.80",
        "Iteration 3: accuracy=0.95",
        "✅ Converged! Saving final model",
    ]
    assert saved == [0.95]


def test_176_runtime_script_state_machine(capsys):
    """176, Scenario 5: START, PROCESSING three times, END, one line for each state."""
    with workflow("states") as wf:

        @task(inject_context=True)
        def machine(ctx):
            state, data = ctx.channel.get("state", "START"), ctx.channel.get("data", 0)
            print(f"Current state: {state} (data={data})")
            if state == "END":
                return data
            following = {"START": "PROCESSING", "PROCESSING": "PROCESSING" if data < 2 else "END"}[state]
            if following != state:
                print(f"→ Transitioning to {following}")
            ctx.channel.set("state", following)
            ctx.channel.set("data", data + (state == "PROCESSING"))
            ctx.next_iteration()
            return None

        assert wf.execute() == 3
    assert capsys.readouterr().out.splitlines() == [
        "Current state: START (data=0)",
        "→ Transitioning to PROCESSING",
        "Current state: PROCESSING (data=0)",
        "Current state: PROCESSING (data=1)",
        "Current state: PROCESSING (data=2)",
        "→ Transitioning to END",
        "Current state: END (data=3)",
    ]
