"""SVG: what is drawn, and that it can be read: nothing overlaps, nothing is cut off, arrows end where they should."""

from __future__ import annotations

import functools
import re
import sys
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest

from graflow_async.compose import parallel
from graflow_async.draw import to_html, to_svg
from graflow_async.graph import Graph
from graflow_async.task import Task
from tests.drawing import graphs
from tests.drawing.svg_reader import Rect, SvgReader

NEAR = 0.11  # numbers are written with one decimal
EVERY = pytest.mark.parametrize("name", graphs.ALL)


def members_below(graph: Graph, group: str) -> set[str]:
    """Collect what lies in a group, at any depth."""
    found: set[str] = set()
    stack = [group]
    while stack:
        for branch in graph.groups.get(stack.pop(), ()):
            stack += [member for member in branch if member not in found]
            found.update(branch)
    return found


@functools.cache
def read(name: str) -> tuple[Graph, SvgReader]:
    graph = graphs.ALL[name]()
    return graph, SvgReader(to_svg(graph, name))


@EVERY
def test_everything_is_drawn_once(name: str) -> None:
    """Each task and each group has one box, and its full id as title."""
    graph, svg = read(name)
    assert set(svg.groups) == set(graph.groups)
    assert set(svg.tasks) == set(graph.nodes) - set(graph.groups)
    assert all(title == node_id for node_id, title in svg.titles.items())


@EVERY
def test_every_edge_is_drawn(name: str) -> None:
    """Each edge of the graph is there; only those between a group and its own tasks are led to the group's border."""
    graph, svg = read(name)
    inside = {group: members_below(graph, group) for group in graph.groups}
    plain = [
        (before, after)
        for before, after in graph.edges
        if after not in inside.get(before, ()) and before not in inside.get(after, ())
    ]
    drawn = [(way.source, way.target) for way in svg.ways if "member" not in way.kinds]
    assert set(plain) <= set(drawn)
    extra = [pair for pair in drawn if pair not in plain]
    assert not extra or len(plain) < len(graph.edges)


@EVERY
def test_task_boxes_do_not_overlap(name: str) -> None:
    """No two tasks share any place, however large the graph."""
    _, svg = read(name)
    for (one, box), (other, box_2) in combinations(svg.tasks.items(), 2):
        assert not box.overlaps(box_2), f"{one!r} {box} and {other!r} {box_2}"


@EVERY
def test_groups_hold_their_members_and_nothing_else(name: str) -> None:
    """The box of a group is around its members, and clear of everything else."""
    graph, svg = read(name)
    inside = {group: members_below(graph, group) for group in graph.groups}
    for group, box in svg.groups.items():
        below = inside[group]
        around = {outer for outer in inside if group in inside[outer]}
        for node_id in graph.nodes:
            other = svg.box(node_id)
            if node_id in below and name != "shared":
                assert box.contains(other), f"{group!r} {box} does not hold {node_id!r} {other}"
            elif node_id not in around and node_id not in below and node_id != group:
                assert not box.overlaps(other), f"{group!r} {box} and {node_id!r} {other}"


@EVERY
def test_labels_fit(name: str) -> None:
    """Every text lies within the box it belongs to, and where fonts differ in width it is fitted."""
    _, svg = read(name)
    for label in svg.labels:
        box = svg.box(label.owner) if label.owner else svg.canvas
        assert box.contains(label.rect), f"{label} leaves {box}"
        assert label.text.isascii() or label.is_fitted


@EVERY
def test_titles_of_groups_are_not_covered(name: str) -> None:
    """No task stands on the title of a group."""
    _, svg = read(name)
    titles = [label for label in svg.labels if label.owner in svg.groups]
    for label in titles:
        covering = [task for task, box in svg.tasks.items() if box.overlaps(label.rect)]
        assert not covering, f"{label} is under {covering}"


@EVERY
def test_edges_join_boxes(name: str) -> None:
    """A line begins at the border of its source, and its head touches the border of its target."""
    _, svg = read(name)
    for way in svg.ways:
        assert svg.box(way.source).distance_to_border(way.points[0]) <= NEAR, way[:3]
        end = way.points[-1] if way.tip is None else way.tip
        assert svg.box(way.target).distance_to_border(end) <= NEAR, way[:3]
        assert (way.tip is None) == ("member" in way.kinds)


@EVERY
def test_edges_run_through_no_box(name: str) -> None:
    """A line crosses no task, and the border only of groups in which one of its ends lies."""
    graph, svg = read(name)
    below = {group: members_below(graph, group) | {group} for group in graph.groups}
    # Hundreds of edges of one kind tell no more than every third of them.
    for way in svg.ways[:: 3 if len(svg.ways) > 500 else 1]:
        ends = {way.source, way.target}
        (left, *_, right), (top, *_, bottom) = (sorted(numbers) for numbers in zip(*way.points, strict=True))
        reach = Rect(left, top, right, bottom)
        obstacles = {**svg.tasks, **{group: box for group, box in svg.groups.items() if not ends & below[group]}}
        for node_id, box in obstacles.items():
            if box.overlaps(reach):
                crosses = box.is_entered(way.points, margin=1.0)
                assert not crosses, f"{way.source!r} -> {way.target!r} runs through {node_id!r}"


@EVERY
def test_everything_is_on_the_canvas(name: str) -> None:
    """Nothing is cut off at the borders of the picture."""
    _, svg = read(name)
    for node_id, box in (*svg.tasks.items(), *svg.groups.items()):
        assert svg.canvas.contains(box), node_id
    for way in svg.ways:
        assert all(svg.canvas.has_inside(point) for point in way.points), way[:3]


def test_scenario_33() -> None:
    """Above the group stands fetch, below it store, sub below ta; edges lead to the group, not to its members."""
    svg = SvgReader(to_svg(graphs.scenario_33(), "scenario 33"))
    group = svg.groups["ParallelGroup_1"]
    assert svg.tasks["fetch"].bottom < group.top
    assert group.bottom < svg.tasks["store"].top
    assert svg.tasks["ta"].bottom < svg.tasks["sub"].top
    assert {(way.source, way.target) for way in svg.ways} == {
        ("fetch", "ParallelGroup_1"),
        ("ta", "sub"),
        ("ParallelGroup_1", "store"),
    }


def test_loops_are_dashed() -> None:
    """An edge that closes a loop looks different from others, whether it leads up or to its own task."""
    svg = SvgReader(to_svg(graphs.loops(), "loops"))
    loops = {(way.source, way.target) for way in svg.ways if "loop" in way.kinds}
    assert loops == {("review", "draft"), ("publish", "start"), ("draft", "draft")}
    dashed = {
        (edge.get("data-source"), edge.get("data-target"))
        for edge in svg.root.iter()
        if edge.get("data-source") and any(part.get("stroke-dasharray") for part in edge)
    }
    assert dashed == loops


def test_an_edge_that_leads_up_without_a_loop_is_not_dashed() -> None:
    """A task after one member and before another of the same group is drawn beside it, and nothing is called a loop."""
    a, b, x = graphs.tasks("a", "b", "x")
    svg = SvgReader(to_svg(graphs.build_graph([a | b, a >> x, x >> b]), "g"))
    assert len(svg.ways) == 2
    assert not any("loop" in way.kinds for way in svg.ways)


def test_edges_of_a_group_and_of_its_tasks_are_told_apart() -> None:
    """Where an edge leaves a group and another comes out of it, they do so at different places."""
    svg = SvgReader(to_svg(graphs.crossing(), "g"))
    border = svg.groups["outer"].bottom
    ways = {(way.source, way.target): way.points for way in svg.ways}
    (leaving, *_), through = ways["outer", "x"], [x for x, y in ways["c", "y"] if y <= border]
    assert through
    assert min(abs(leaving[0] - x) for x in through) >= 8


def test_a_task_in_two_groups() -> None:
    """It is drawn in the first; a dotted line without a head says that it also belongs to the other."""
    svg = SvgReader(to_svg(graphs.shared(), "shared"))
    assert svg.groups["one"].contains(svg.tasks["a"])
    also = {(way.source, way.target) for way in svg.ways if "member" in way.kinds}
    assert also == {("a", "two"), ("a", "three"), ("c", "three")}


def test_a_task_in_a_group_and_in_the_one_around_it() -> None:
    """It is drawn in the inner group, where it is in both, so that no line has to say so."""
    a, b = graphs.tasks("a", "b")
    outer = parallel(parallel(a, b, name="inner"), a, name="outer")
    svg = SvgReader(to_svg(graphs.build_graph([outer]), "g"))
    assert svg.groups["inner"].contains(svg.tasks["a"])
    assert svg.groups["outer"].contains(svg.groups["inner"])
    assert not svg.ways


def test_ids_cannot_break_out() -> None:
    """Ids with markup stay text: the picture has no element and no attribute that is not its own."""
    text = to_svg(graphs.hostile(), "</title><script>1</script>")
    root = ET.fromstring(text)  # noqa: S314  # the text is ours
    tags = {element.tag.split("}")[1] for element in root.iter()}
    assert tags == {"svg", "title", "style", "g", "rect", "path", "text"}
    assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)
    assert "<script" not in text


def test_group_names_may_hold_any_character() -> None:
    """A group's name with the characters of markup still gives valid XML."""
    group = parallel(Task("a"), Task("b"), name="</svg><script>\"'&]]>")
    svg = SvgReader(to_svg(graphs.build_graph([group]), "g"))
    assert len(svg.groups) == 1


def test_long_ids_are_shortened_in_the_middle() -> None:
    """A label keeps both ends of a long id, and its box stays of a sensible width."""
    long = "prefix_" + "x" * 180 + "_suffix"
    svg = SvgReader(to_svg(graphs.build_graph([Task(long)]), "g"))
    (label,) = svg.labels
    assert label.text.startswith("prefix_")
    assert label.text.endswith("_suffix")
    assert "…" in label.text
    assert svg.width < 400


def test_nothing_is_fetched() -> None:
    """The picture needs nothing but itself."""
    text = to_svg(graphs.nested(), "g").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"http|href|url\(|@import|<image", text)


@EVERY
def test_the_same_graph_gives_the_same_picture(name: str) -> None:
    """Drawings can be compared and kept under version control."""
    make = graphs.ALL[name]
    assert to_svg(make(), "g") == to_svg(make(), "g")


@pytest.mark.parametrize("name", ["wide_group", "fan", "branches", "hostile"])
def test_wide_graphs_stay_readable(name: str) -> None:
    """Hundreds of tasks side by side continue in further rows instead of one endless one."""
    _, svg = read(name)
    assert svg.width < 2500
    assert svg.height < 5000


@pytest.mark.parametrize(("count", "most"), [(3, 10_000), (30, 500_000), (300, 6_000_000)])
def test_the_work_is_bounded(count: int, most: int) -> None:
    """Drawing 300 tasks takes a bounded number of calls, whatever machine it is on."""
    graph = graphs.sparse(2, count, 0.05)
    calls = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        to_svg(graph, "g")
    finally:
        sys.setprofile(before)
    assert count < calls < most


def test_html_has_picture_and_text() -> None:
    """For notebooks: the picture in a div, and the same graph as text for who cannot see it."""
    html = to_html(graphs.hostile(), 'a "b" <c>')
    root = ET.fromstring(html)  # noqa: S314  # the text is ours
    assert root.tag == "div"
    assert len(list(root.iter("{http://www.w3.org/2000/svg}svg"))) == 1
    text = root.findtext(".//pre") or ""
    assert "</svg><script>alert(1)</script>" in text
    assert "<script" not in html
    assert "<img" not in html
