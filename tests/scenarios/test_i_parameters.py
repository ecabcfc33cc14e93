"""Scenarios 119 to 121 (group I) and SPEC 1.4: where a parameter's value comes from."""

# A task made with the style fixture is typed as the plain function it was made of.
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false, reportRedeclaration=false

from __future__ import annotations

import pytest

from graflow_async import BindingError, TaskExecutionContext, TaskWrapper, task, workflow


class Service:
    """Something to provide."""

    made = 0

    def __init__(self):
        type(self).made += 1


def giving(name, value):
    return TaskWrapper(name, lambda: value)


def test_119_an_upstream_id_beats_a_channel_key(style):
    """119: rule 3 before rule 4 before rule 5."""
    with workflow("w") as wf:
        seen = style.task("seen")(lambda source, other, key: (source, other, key))
        giving("source", {"key": "from mapping", "other": "from mapping"}) >> seen
    value = style.run(wf, inputs={"source": "from channel", "other": "from channel"})
    assert value == ({"key": "from mapping", "other": "from mapping"}, "from channel", "from mapping")


def test_119_a_result_by_id_is_found_among_all_ancestors(style):
    """SPEC 10: rule 3 looks among ancestors, not at siblings that happen to have finished."""
    with workflow("w") as wf:
        a, b = giving("a", 1), giving("b", 2)
        a >> b >> style.task("far")(lambda a: a) >> style.task("sibling")(lambda a=None, aside="default": (a, aside))
        a >> giving("aside", 3) >> giving("end", 4)
    assert style.run(wf) == {"sibling": (1, "default"), "end": 4}


def test_120_none_from_the_channel_overrides_a_default(style):
    """120: None is a value; nothing is converted; keyword-only parameters resolve."""
    with workflow("w") as wf:

        @style.task
        def taking(a=1, b: int = 2, *, c, d="default"):
            return a, b, c, d

    assert style.run(wf, inputs={"a": None, "b": "3", "c": 4}) == (None, "3", 4, "default")


def test_120_resolving_can_be_switched_off(style):
    """120: with resolve_keyword_args=False only bound arguments, injection and defaults count."""
    with workflow("w") as wf:

        @style.task(resolve_keyword_args=False)
        def taking(source=1, a=2):
            return source, a

        giving("source", 10) >> taking
        assert style.run(wf, inputs={"a": 20}) == (1, 2)


def test_121_bound_arguments_beat_the_channel(style):
    """121: bound 10 beats channel 100, the multiplier 5 comes from the channel."""
    with workflow("w") as wf:

        @style.task
        def product(value, multiplier):
            return value * multiplier

        product(task_id="p", value=10)
        assert style.run(wf, inputs={"value": 100, "multiplier": 5}) == 50


def test_the_only_predecessor_fills_the_only_open_parameter(style):
    """Rule 6: whatever the parameter's name; with a group it is the mapping of its members."""
    with workflow("w") as wf:
        giving("source", 7) >> style.task("one")(lambda anything, d=1: (anything, d))
    assert style.run(wf) == (7, 1)
    with workflow("w") as wf:
        (giving("a", 1) | giving("b", 2)) >> style.task("one")(lambda anything: anything)
    assert style.run(wf) == {"a": 1, "b": 2}


@pytest.mark.parametrize("case", ["two open", "two predecessors", "none"])
def test_what_stays_open_is_a_binding_error(case, style):
    """SPEC 1.4: the error names the task, the parameter and what was there; it is never retried."""
    runs = []
    with workflow("w") as wf:
        if case == "two open":
            t = style.task("open", max_retries=3)(lambda x, y: runs.append(1))
            giving("source", 1) >> t
        else:
            t = style.task("open", max_retries=3)(lambda x: runs.append(1))
            if case == "two predecessors":
                giving("source", 1) >> t
                giving("second", 2) >> t
    with pytest.raises(BindingError, match=r"'open'.*'x'") as caught:
        style.run(wf)
    assert runs == []
    if case != "none":
        assert "source" in str(caught.value)


def test_two_predecessors_with_one_key_are_a_binding_error(style):
    """SPEC 10: nobody can say which of the two counts."""
    with workflow("w") as wf:
        t = style.task("t")(lambda key: key)
        giving("a", {"key": 1}) >> t
        giving("b", {"key": 2}) >> t
    with pytest.raises(BindingError, match="key"):
        style.run(wf)


@pytest.mark.parametrize("factory", ["value", "function", "async", "class"])
def test_provided_objects_are_injected(factory, style):
    """SPEC 1.4 rule 2 and 10: by name or by type; factories, sync or async, are called once per run."""
    made = []

    def make():
        made.append(1)
        return "service"

    async def make_async():
        return make()

    given = {"value": "service", "function": make, "async": make_async, "class": Service}[factory]
    before = Service.made
    with workflow("w") as wf:
        one = style.task("one")(lambda service: service)
        two = style.task("two")(lambda service, one: (service, one))
        one >> two
    wf.provide("service", given)
    first, second = style.run(wf)
    assert first is second
    if factory == "class":
        assert isinstance(first, Service)
        assert Service.made == before + 1
    else:
        assert first == "service"
        assert len(made) == (factory != "value")


async def test_provided_by_type():
    """SPEC 1.4: the annotation of the parameter is the key."""
    service = Service()
    with workflow("w") as wf:

        @task
        async def uses(anything: Service, n=1):
            return anything

    wf.provide(Service, service)
    assert await wf.run() is service


def test_bound_extras_reach_the_keywords(style):
    """SPEC 1.4: unknown names go to `**kwargs` where there is one."""
    with workflow("w") as wf:

        @style.task
        def taking(a, *args, **kwargs):
            return a, args, kwargs

        taking(1, 2, 3, task_id="t", x=4)
    assert style.run(wf) == (1, (2, 3), {"x": 4})


async def test_a_child_sees_its_parents_inputs_and_results():
    """SPEC 10: rule 3 looks among own children and ancestors; awaited children see the parent's upstream by id."""
    seen = []

    @task
    async def child(source, key):
        seen.append((source, key))

    with workflow("w") as wf:

        @task(inject_context=True)
        async def parent(ctx: TaskExecutionContext):
            await child()
            ctx.next_task(child(task_id="wished"))

        giving("source", 7) >> parent
    await wf.run(inputs={"key": "k"})
    assert seen == [(7, "k"), (7, "k")]
