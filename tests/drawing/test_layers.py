"""Rows, orders and places: the arithmetic under text and picture."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from graflow_async.draw.layers import (
    Link,
    arrange,
    axes,
    back_edges,
    components,
    downward_order,
    longest_path,
    lowered,
    settle,
)


def random_graph(seed: int, count: int = 20) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(count) for _ in range(rng.randrange(4))] for _ in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_without_back_edges_there_is_an_order(seed: int) -> None:
    """What remains of any graph can be put in order, and each edge taken away closes a cycle with the rest."""
    graph = random_graph(seed)
    away = back_edges(graph)
    forward = [[after for after in row if (n, after) not in away] for n, row in enumerate(graph)]
    order = downward_order(forward)
    assert sorted(order) == list(range(len(graph)))
    place = {number: index for index, number in enumerate(order)}
    assert all(place[n] < place[after] for n, row in enumerate(forward) for after in row)
    for source, target in away:
        reached, stack = {target}, [target]
        while stack:
            new = [after for after in forward[stack.pop()] if after not in reached]
            reached.update(new)
            stack += new
        assert source in reached, "an edge was taken away that closes no cycle"


def test_rows_follow_the_longest_path() -> None:
    """A node stands right below the lowest of those before it, and not above the least row it is given."""
    assert longest_path([[1, 2], [2], [], []], [0, 0, 0, 2]) == [0, 1, 2, 2]


def test_components_are_in_order_of_their_first() -> None:
    """Parts without an edge between them are told apart."""
    assert components(6, [(4, 1), (5, 3), (1, 0)]) == [[0, 1, 4], [2], [3, 5]]


def test_crossings_are_undone() -> None:
    """Two crossed pairs are uncrossed; what does not cross stays as it was."""
    crossed = [Link(0, 3), Link(1, 2)]
    upper, lower = arrange([[0, 1], [2, 3]], crossed)
    assert [upper.index(0), upper.index(1)] == [lower.index(3), lower.index(2)]
    assert arrange([[0, 1], [2, 3]], [Link(0, 2), Link(1, 3)]) == [[0, 1], [2, 3]]


@pytest.mark.parametrize("seed", range(10))
def test_trees_have_no_crossings(seed: int) -> None:
    """However its rows are shuffled, a tree is drawn without a line that crosses another."""
    rng = random.Random(seed)
    parents = [rng.randrange(max(0, node - 8), node) for node in range(1, 40)]
    successors = [[child for child, parent in enumerate(parents, 1) if parent == node] for node in range(40)]
    depths = longest_path(successors, [0] * 40)
    rows = [[node for node in range(40) if depths[node] == depth] for depth in range(max(depths) + 1)]
    for row in rows:
        rng.shuffle(row)
    order = arrange(rows, [Link(parent, child) for child, parent in enumerate(parents, 1)])
    assert [sorted(row) for row in order] == [sorted(row) for row in rows]
    for row, below in pairwise(order):
        above = [parents[child - 1] for child in below]
        places = [row.index(parent) for parent in above]
        assert places == sorted(places), "children stand in the order of their parents"


@pytest.mark.parametrize("seed", range(10))
def test_lowering_keeps_edges_down_and_shortens_them(seed: int) -> None:
    """What follows stays below, roots stay where they are, and the edges together get no longer."""
    rng = random.Random(seed)
    successors = [sorted({rng.randrange(node + 1, 31) for _ in range(rng.randrange(4))}) for node in range(30)] + [[]]
    rows = longest_path(successors, [0] * 31)
    moved = lowered(rows, successors)
    entered = {after for row in successors for after in row}
    assert all(moved[node] < moved[after] for node, row in enumerate(successors) for after in row)
    assert all(moved[node] == rows[node] for node in range(31) if node not in entered)
    length = [sum(at[after] - at[node] for node, row in enumerate(successors) for after in row) for at in (rows, moved)]
    assert length[1] <= length[0]


@pytest.mark.parametrize("seed", range(10))
def test_settled_points_keep_gaps_and_are_nearest(seed: int) -> None:
    """Points keep their gaps, and no small move of one group of neighbours brings them nearer to what they want."""
    rng = random.Random(seed)
    wanted = [(rng.uniform(-50, 50), rng.uniform(0.1, 5)) for _ in range(12)]
    gaps = [rng.uniform(1, 10) for _ in range(11)]

    def cost(points: list[float]) -> float:
        return sum(weight * (point - place) ** 2 for point, (place, weight) in zip(points, wanted, strict=True))

    found = settle(wanted, gaps)
    assert all(right - left >= gap - 1e-9 for (left, right), gap in zip(pairwise(found), gaps, strict=True))
    for first in range(12):
        for last in range(first, 12):
            for step in (-0.01, 0.01):
                moved = [x + step * (first <= index <= last) for index, x in enumerate(found)]
                keeps = all(b - a >= gap - 1e-9 for (a, b), gap in zip(pairwise(moved), gaps, strict=True))
                assert not keeps or cost(moved) >= cost(found) - 1e-9


def test_a_lone_node_stands_above_the_middle_of_what_follows() -> None:
    """A parent is centred over its children, and a chain is a straight line."""
    found = axes([[0], [1, 2], [3, 4]], [Link(0, 1), Link(0, 2), Link(1, 3), Link(2, 4)], lambda _left, _right: 10.0)
    assert found[0] == pytest.approx((found[1] + found[2]) / 2)
    assert found[1] == pytest.approx(found[3])
    assert found[2] - found[1] == pytest.approx(10.0)
