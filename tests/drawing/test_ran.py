"""The graph that a run really was: every state, children, turns, jumps and maps, in every language."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise
from typing import Any

import pytest

from graflow_async import GraflowWorkflowCanceledError, Workflow, flow, parallel, task
from graflow_async.builder import build_graph
from graflow_async.compose import chain
from graflow_async.draw import View, ran, to_ascii, to_dot, to_html, to_mermaid, to_svg
from graflow_async.draw.ran import DEEPEST, EACH, MOST_KINDS
from graflow_async.draw.text import TIMES
from graflow_async.graph import Graph
from graflow_async.task import Task
from tests.drawing import graphs
from tests.drawing.stories import STATES, random_story, span, waiting
from tests.drawing.svg_reader import SvgReader

RANDOM = [("scenario_33", 5), ("loops", 1), ("nested", 2), ("sparse_30", 3), ("mixed_30", 4), ("hostile", 6)]
SOME = pytest.mark.parametrize(("name", "seed"), RANDOM)


def view_of_random(name: str, seed: int) -> View:
    """Make the view of a random run of a graph."""
    graph = graphs.ALL[name]()
    story = random_story(graph, seed)
    return ran(graph, story, critical=story[::5], heading=f"{name} <run> & more")


@SOME
def test_boxes_of_a_run_do_not_overlap_and_nothing_is_cut_off(name: str, seed: int) -> None:
    """Signs, notes, bars, children and turns have room in a run as boxes have in a graph."""
    svg = SvgReader(to_svg(view_of_random(name, seed), name))
    for (one, box), (other, box_2) in combinations(svg.tasks.items(), 2):
        assert not box.overlaps(box_2), f"{one!r} {box} and {other!r} {box_2}"
    for label in svg.labels:
        box = svg.box(label.owner) if label.owner else svg.canvas
        assert box.contains(label.rect), f"{label} leaves {box}"
    for node_id, box in (*svg.tasks.items(), *svg.groups.items()):
        assert svg.canvas.contains(box), node_id
    for way in svg.ways:
        ends = way.source, way.target
        inside = {node_id for node_id, box in svg.tasks.items() if any(svg.box(end).contains(box) for end in ends)}
        for node_id in svg.tasks.keys() - inside:
            assert not svg.tasks[node_id].is_entered(way.points, margin=1.0), f"{ends} runs through {node_id!r}"


@SOME
def test_every_language_says_how_far_every_task_is(name: str, seed: int) -> None:
    """The states in the picture are those of the view, and the texts name each of them as often."""
    view = view_of_random(name, seed)
    svg = SvgReader(to_svg(view, name))
    for key, look in view.looks.items():
        if look.state:
            assert f"is-{look.state}" in svg.kinds[key]
            assert look.state in svg.told[key]
    coloured = {key for key, look in view.looks.items() if look.state}
    mermaid = to_mermaid(view)
    named = [line.split()[1].split(",") for line in mermaid.splitlines() if line.startswith("    class ")]
    assert sum(map(len, named)) == len(coloured)
    assert to_dot(view, name).count("fillcolor=") == len(coloured)
    for state in STATES:
        count = sum(look.state == state for look in view.looks.values())
        assert to_ascii(view).count(f": {state}") >= count


def test_a_run_is_drawn_with_its_declared_graph() -> None:
    """What was not reached is there, and marked; so are the edges that nothing passed."""
    a, b, c, d = graphs.tasks(*"abcd")
    graph = build_graph([a >> b >> c, a >> d])
    svg = SvgReader(to_svg(ran(graph, [span("a", 1), span("b", 2), span("d", 0, status="skipped")]), "g"))
    assert {"is-open"} <= svg.kinds["c"]
    assert {"is-skipped"} <= svg.kinds["d"]
    faint = {(way.source, way.target) for way in svg.ways if "faint" in way.kinds}
    assert faint == {("b", "c"), ("a", "d")}
    legend = next(part for part in svg.root if part.get("class") == "legend")
    words = [text.text for text in legend.iter("{http://www.w3.org/2000/svg}text")]
    assert words == ["completed", "skipped", "not reached", "not taken"]


def test_every_state_has_a_colour_a_sign_and_a_word() -> None:
    """Colour is never the only thing that tells states apart."""
    graph = build_graph(graphs.tasks(*STATES))
    spans = [span(state, key, 0.0, None, state) for key, state in enumerate(STATES, 1)]
    svg = SvgReader(to_svg(ran(graph, spans), "g"))
    looks: set[str] = set()
    signs: set[str] = set()
    for element in svg.root.iter("{http://www.w3.org/2000/svg}g"):
        if "task" in (element.get("class") or ""):
            box, sign = element[1], element[2]
            looks.add(f"{box.get('fill')} {box.get('stroke')}")
            signs.add(sign[1].get("d", ""))
    assert len(looks) == len(signs) == len(STATES)
    assert all(svg.told[state][0] == state for state in STATES)


def test_turns_are_a_loop_with_their_number() -> None:
    """A task that went around five times has a loop that says so."""
    spans = [span("a", 1, turn, turn + 1, turn=turn) for turn in range(1, 6)]
    view = ran(build_graph([Task("a")]), spans)
    svg = SvgReader(to_svg(view, "g"))
    (way,) = svg.ways
    assert (way.source, way.target) == ("a", "a")
    assert "5 turns" in [label.text for label in svg.labels]
    assert "5 turns" in to_ascii(view)
    assert "-. 5 turns .->" in to_mermaid(view)


def test_a_declared_loop_counts_as_taken_only_if_it_was() -> None:
    """An edge back is drawn as passed where the end of its source let its target begin again."""
    graph = graphs.loops()
    first = [span("start", 1), span("draft", 2, cause=1), span("review", 3, cause=2)]
    assert ("review", "draft") in ran(graph, first).faint
    assert ("review", "draft") not in ran(graph, [*first, span("draft", 4, cause=3)]).faint


def test_a_jump_is_an_edge_of_its_own() -> None:
    """Where something began that no edge leads to from what let it begin, the picture has a jump."""
    a, b, c, d = graphs.tasks(*"abcd")
    graph = build_graph([a >> (b | c).set_group_name("g") >> d])
    spans = [span("a", 1), span("b", 2, cause=1), span("c", 3, cause=1), span("d", 4, cause=3)]
    assert not ran(graph, spans).jumps, "the edge to a group leads to its members, and what follows it comes from them"
    jumped = ran(graph, [*spans, span("a", 5, cause=4), span("new", 6, cause=4)])
    assert jumped.jumps == {("d", "a"), ("d", "new")}
    svg = SvgReader(to_svg(jumped, "g"))
    assert {(way.source, way.target) for way in svg.ways if "jump" in way.kinds} == jumped.jumps
    assert "-. jump .->" in to_mermaid(jumped)


def test_children_are_drawn_in_their_parent() -> None:
    """A few children have a box each, of many those of one kind share one; nothing is lost, however many kinds."""
    graph = build_graph([Task("a")])
    few = [span(f"step_{number}", 10 + number, parent=1) for number in range(EACH)]
    view = ran(graph, [span("a", 1), *few])
    assert len(view.groups["a"]) == EACH
    many = [span(f"step_{number}", 10 + number, parent=1) for number in range(1000)]
    many[17].status = "failed"
    view = ran(graph, [span("a", 1), *many, span("last", 5, parent=1)])
    assert view.groups["a"] == (("a/step",), ("a/last",))
    look = view.looks["a/step"]
    assert (look.state, look.counts, look.note) == ("failed", {"failed": 1, "completed": 999}, f"{TIMES} 1,000, 1 s")
    kinds = [
        span(f"kind{chr(97 + number // 26)}{chr(97 + number % 26)}", 10 + number, parent=1) for number in range(60)
    ]
    view = ran(graph, [span("a", 1), *kinds])
    assert len(view.groups["a"]) == MOST_KINDS + 1
    assert view.looks["a/…"].label == f"{60 - MOST_KINDS} other tasks"


def test_children_that_follow_each_other_are_joined() -> None:
    """The tasks of a child run stand in their order; those that began together stand beside each other."""
    spans = [span("a", 1), span("b", 2, parent=1), span("c", 3, parent=1, cause=2), span("d", 4, parent=1, cause=2)]
    svg = SvgReader(to_svg(ran(build_graph([Task("a")]), spans), "g"))
    assert {(way.source, way.target) for way in svg.ways} == {("a/b", "a/c"), ("a/b", "a/d")}
    assert svg.tasks["a/b"].bottom < svg.tasks["a/c"].top == svg.tasks["a/d"].top


def test_children_of_children() -> None:
    """They lie in each other down to a depth at which what is deeper is counted."""
    chained = [span(f"t{key}", key, parent=key - 1 or None) for key in range(1, 41)]
    view = ran(build_graph([Task("t1")]), chained)
    assert len(view.nodes) == DEEPEST + 1
    assert view.looks[view.nodes[-1]].note.endswith(f"{40 - DEEPEST - 1} tasks inside")
    svg = SvgReader(to_svg(view, "g"))
    boxes = [svg.box(node) for node in view.nodes]
    assert all(outer.contains(inner) for outer, inner in pairwise(boxes))


def test_a_map_is_one_box() -> None:
    """A declared map of a thousand elements is one box with their number and how far they are."""
    graph = build_graph([Task("xs") >> Task("t").map().with_execution(max_concurrency=8)])
    assert f"{TIMES} n, 8 at once" in [label.text for label in SvgReader(to_svg(graph, "g")).labels]
    states = ["running"] * 8 + ["queued"] * 92 + ["completed"] * 900
    items = [span(f"t_{n}", 10 + n, 1, None, state, parent=2) for n, state in enumerate(states)]
    view = ran(graph, [span("xs", 1), waiting(span("t", 2, 1, None, "waiting"), "child", 1, None), *items])
    assert view.nodes == ["xs", "t"]
    assert view.looks["t"].counts == {"running": 8, "queued": 92, "completed": 900}
    assert view.looks["t"].note == f"{TIMES} 1,000, 8 running, 92 queued"


def test_a_map_over_what_is_known_says_over_how_much() -> None:
    """Before it runs, a map over a list has the list's length."""
    graph = build_graph([Task("t").map([1] * 1234)])
    assert f"{TIMES} 1,234" in [label.text for label in SvgReader(to_svg(graph, "g")).labels]


def test_policies_of_groups_are_told() -> None:
    """A group's box says what the group asks of its members, and how many run at once."""
    a, b = graphs.tasks("a", "b")
    group = parallel(a, b, name="g", policy="first", max_concurrency=1)
    texts = [label.text for label in SvgReader(to_svg(build_graph([group]), "w")).labels]
    assert "first, 1 at once" in texts
    assert "g: first, 1 at once" in to_ascii(build_graph([group]))


def test_what_is_waited_for_is_told() -> None:
    """A box that waits says for what."""
    asked = waiting(span("a", 1, 0, None, "waiting"), "person", 0.5, None, "approve <b>")
    assert ran(build_graph([Task("a")]), [asked]).looks["a"].note == "person: approve <b>"


def test_a_child_may_have_any_id() -> None:
    """An id of a child cannot be taken for one of the graph, nor break out of the picture."""
    graph = build_graph(graphs.tasks("a", "a/b"))
    view = ran(graph, [span("a", 1), span("b", 2, parent=1), span("a", 3, parent=1), span("a/b", 4)])
    assert len(view.nodes) == len(set(view.nodes)) == 4
    hostile = [span(text, 10 + key, parent=1) for key, text in enumerate(graphs.HOSTILE)]
    html = to_html(ran(graph, [span("a", 1), *hostile], heading="<script>"), "g")
    ET.fromstring(html)  # noqa: S314  # the text is ours
    assert "<script" not in html
    assert "<img" not in html


def test_a_graph_that_is_gone_is_drawn_from_its_spans() -> None:
    """What ran without being declared, such as the target of a jump, is drawn all the same."""
    view = ran(build_graph([]), [span("a", 1), span("b", 2, cause=1)])
    assert view.nodes == ["a", "b"]
    assert set(SvgReader(to_svg(view, "g")).tasks) == {"a", "b"}


@pytest.mark.parametrize(("count", "most"), [(3, 60), (30, 400), (300, 4000)])
def test_the_size_of_a_picture_grows_with_the_graph(count: int, most: int) -> None:
    """Three hundred tasks with their children take a picture of a bounded number of elements."""
    graph = build_graph([chain(*graphs.tasks(*(f"t{n}" for n in range(count))))])
    spans = [span(f"t{n}", n + 1, n, n + 1) for n in range(count)]
    spans += [span(f"x_{n}", 1000 + n, parent=1) for n in range(5000)]
    elements = list(SvgReader(to_svg(ran(graph, spans), "g")).root.iter())
    assert len(elements) <= most + 60


# -- runs that really ran -------------------------------------------------------------------------------------


@task(inject_context=True)
async def twice(ctx: Any, turn: int = 1) -> int:
    if turn < 2:
        ctx.next_iteration(turn + 1)
    return turn


@task(inject_context=True)
async def parent(ctx: Any) -> None:
    ctx.next_task(twice, goto=False)


@task
async def double(x: int) -> int:
    return 2 * x


@task
async def numbers() -> list[int]:
    return list(range(30))


async def test_a_real_run_draws_itself() -> None:
    """The handle of a run has the drawings of a workflow, of what really ran, and its timeline."""
    wf = Workflow("real", numbers >> double.map() >> parent)
    async with wf.start() as run:
        await run
    svg = SvgReader(run.to_svg())
    assert set(svg.tasks) == {"numbers", "double", "parent/twice"}
    assert {"is-completed", "critical"} <= svg.kinds["numbers"]
    assert "30 completed" in svg.told["double"]
    assert ("parent/twice", "parent/twice") in {(way.source, way.target) for way in svg.ways}
    assert "completed" in run.to_mermaid()
    assert "completed" in run.to_dot()
    assert "double: completed, x 30" in run.to_ascii()
    assert "real: completed" in run.timeline_html()
    ET.fromstring(run.timeline_svg())  # noqa: S314  # the text is ours
    assert isinstance(wf.graph, Graph)
    assert "is-completed" not in wf.to_svg().split("</style>")[1], "the declared graph stays as it was"


async def test_a_child_run_is_drawn_in_its_caller() -> None:
    """An awaited flow shows its own tasks, in the order in which they ran, inside the task that awaited it."""

    @flow
    async def inner() -> None:
        await double(1)
        await double(2)

    @task
    async def outer() -> None:
        await inner()

    wf = Workflow("w", numbers >> outer)
    async with wf.start() as run:
        await run
    svg = SvgReader(run.to_svg())
    below = {node for node, box in (*svg.tasks.items(), *svg.groups.items()) if svg.groups["outer"].contains(box)}
    assert any(node.startswith("outer/") for node in below)
    assert len(below) > 1
    assert "is-completed" in svg.kinds["outer"]


async def test_a_run_draws_itself_while_it_goes_on() -> None:
    """In the middle of a run its pictures show what runs, what waits and for what, and what is still to come."""
    is_there = asyncio.Event()

    @task(inject_context=True)
    async def gate(ctx: Any) -> None:
        await ctx.wait_for_event("go")

    @task
    async def busy() -> None:
        is_there.set()
        await asyncio.Event().wait()

    wf = Workflow("w", numbers >> (gate | busy).set_group_name("both") >> double)
    async with wf.start() as run:
        await is_there.wait()
        svg = SvgReader(run.to_svg())
        assert {
            name: kinds & {f"is-{state}" for state in ("completed", "running", "waiting", "open")}
            for name, kinds in svg.kinds.items()
            if name in svg.tasks
        } == {
            "numbers": {"is-completed"},
            "gate": {"is-waiting"},
            "busy": {"is-running"},
            "double": {"is-open"},
        }
        assert svg.told["gate"] == ["waiting", "event: go"]
        assert "waits: event" in run.timeline_svg()
        assert "w: running" in run.timeline_html()
        run.cancel()
        with pytest.raises(GraflowWorkflowCanceledError):
            await run
    assert "is-cancelled" in SvgReader(run.to_svg()).kinds["busy"]


async def test_a_real_jump_is_drawn() -> None:
    """A task that jumped back in a run leaves a jump in its picture."""
    passes: list[int] = []

    @task
    async def work() -> None:
        passes.append(1)

    @task(inject_context=True)
    async def check(ctx: Any) -> None:
        if len(passes) < 3:
            ctx.next_task(work, goto=True)

    wf = Workflow("again", work >> check)
    async with wf.start() as run:
        await run
    ways = SvgReader(run.to_svg()).ways
    assert {(way.source, way.target) for way in ways if "jump" in way.kinds} == {("check", "work")}


def test_a_notebook_gets_what_it_asks_for() -> None:
    """The protocol of notebooks: everything, only what is included, never what is excluded."""
    wf = Workflow("w", Task("a") >> Task("b"))
    forms = {"image/svg+xml", "text/html", "text/plain"}
    assert set(wf._repr_mimebundle_()) == forms
    assert set(wf._repr_mimebundle_(include={"text/plain"})) == {"text/plain"}
    assert set(wf._repr_mimebundle_(exclude=["text/html"])) == forms - {"text/html"}
    assert set(wf._repr_mimebundle_(include=["image/svg+xml", "image/png"], exclude=["image/svg+xml"])) == set()
    assert wf._repr_mimebundle_()["text/plain"] == wf.to_ascii()
