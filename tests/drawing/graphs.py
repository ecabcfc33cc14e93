"""Graphs that the drawings are tried on, by name."""

from __future__ import annotations

import random
from typing import Any

from graflow_async.builder import build_graph
from graflow_async.compose import chain, parallel
from graflow_async.graph import Graph
from graflow_async.task import Task

HOSTILE = (
    'say "hi"',
    "</svg><script>alert(1)</script>",
    "</pre></div><img src=x onerror=alert(1)>",
    "[x](y)",
    "a -> b",
    "{curly} | pipe; semi",
    "end",
    "subgraph",
    "v",
    "n3",
    "back\\slash\\",
    "C:\\new\\N",
    "`tick`",
    "#quot; &amp; 100% %%{init: {}}%%",
    "__init__",
    "1. first",
    "日本語のタスク",
    "naïve café",
    "🎉 party 🎉",
    "style a fill:#fff;",
    "--> x",
    "'single' <b>&</b>",
    " spaces  inside ",
    "x" * 200,
)


def tasks(*ids: str) -> list[Task[Any, Any]]:
    return [Task(task_id) for task_id in ids]


def scenario_33() -> Graph:
    fetch, ta, sub, tb, store = tasks("fetch", "ta", "sub", "tb", "store")
    return build_graph([fetch >> ((ta >> sub) | tb) >> store])


def nested() -> Graph:
    a, b, c, d, e, f, g = tasks(*"abcdefg")
    inner = parallel(d, parallel(e, f, name="core"), name="inner")
    return build_graph([a >> parallel(b >> c, inner, name="outer") >> g])


def empty_group() -> Graph:
    a, b = tasks("a", "b")
    return build_graph([a >> parallel(name="none") >> b])


def loops() -> Graph:
    start, draft, review, publish = tasks("start", "draft", "review", "publish")
    return build_graph([start >> draft >> review >> publish, review >> draft, publish >> start, draft >> draft])


def crossing() -> Graph:
    """Edges from inside of groups to elsewhere, both ways."""
    a, b, c, d, e, x, y = tasks(*"abcdexy")
    outer = parallel(a >> b, parallel(c, d, name="inner"), name="outer")
    return build_graph([outer >> x, c >> y, y >> b, e >> d, x >> e])


def into_itself() -> Graph:
    """Edges between a group and what lies in it, and from a group to itself."""
    a, b, c, d, x = tasks(*"abcdx")
    group = parallel(a >> b, parallel(c, d, name="inner"), name="outer")
    return build_graph([x >> group, group >> a, c >> group, group >> group])


def shared() -> Graph:
    """A task that is part of two groups, and a group of which all are part of another."""
    a, b, c, x = tasks(*"abcx")
    return build_graph(
        [
            parallel(a, b, name="one") >> x,
            parallel(a, c, name="two") >> x,
            parallel(a, c, name="three") >> x,
        ]
    )


def hostile() -> Graph:
    first, second, *rest = tasks(*HOSTILE)
    third, fourth, *rest = rest
    group = parallel(second, third, name='group "q" <b> & end')
    return build_graph([first >> group >> fourth, chain(*rest[: len(rest) // 2]), parallel(*rest[len(rest) // 2 :])])


def wide_group(count: int = 300) -> Graph:
    split, join = tasks("split", "join")
    return build_graph([split >> parallel(*tasks(*(f"member_{n}" for n in range(count)))) >> join])


def fan(count: int = 298) -> Graph:
    """One task before and one after many, each edge drawn."""
    split, join = tasks("split", "join")
    return build_graph([split >> member >> join for member in tasks(*(f"member_{n}" for n in range(count)))])


def branches(count: int = 100) -> Graph:
    """A group of many branches, each of three tasks."""
    each = [chain(*tasks(f"load_{n}", f"change_{n}", f"save_{n}")) for n in range(count)]
    return build_graph([Task("begin") >> parallel(*each) >> Task("finish")])


def long_chain(count: int = 300) -> Graph:
    return build_graph([chain(*tasks(*(f"step_{n}" for n in range(count))))])


def sparse(seed: int, count: int, backwards: float = 0.0) -> Graph:
    """A random graph: each task after one or two of those before it, now and then an edge back."""
    rng = random.Random(seed)
    made = tasks(*(f"t{n}" for n in range(count)))
    edges = [
        made[rng.randrange(max(0, n - 10), n)] >> made[n] for n in range(1, count) for _ in range(rng.choice((1, 1, 2)))
    ]
    edges += [made[n] >> made[rng.randrange(n + 1)] for n in range(count) if rng.random() < backwards]
    return build_graph(edges or made)


def mixed(seed: int, count: int) -> Graph:
    """A random expression of chains and groups to any depth, with some edges drawn across."""
    rng = random.Random(seed)
    left = tasks(*(f"t{n}" for n in range(count)))
    made = list(left)

    def expression(size: int) -> Any:
        if size == 1:
            return left.pop()
        cut = rng.randrange(1, size)
        one, other = expression(cut), expression(size - cut)
        return one >> other if rng.random() < 0.5 else parallel(one, other)

    items: list[Any] = [expression(count)]
    items += [rng.choice(made) >> rng.choice(made) for _ in range(count // 5)]
    return build_graph(items)


ALL = {
    "nothing": lambda: build_graph([]),
    "one": lambda: build_graph(tasks("only")),
    "three": lambda: build_graph([chain(*tasks(*"abc"))]),
    "scenario_33": scenario_33,
    "nested": nested,
    "empty_group": empty_group,
    "loops": loops,
    "crossing": crossing,
    "into_itself": into_itself,
    "shared": shared,
    "hostile": hostile,
    "sparse_30": lambda: sparse(1, 30, 0.2),
    "sparse_300": lambda: sparse(2, 300, 0.05),
    "mixed_30": lambda: mixed(3, 30),
    "mixed_300": lambda: mixed(4, 300),
    "wide_group": wide_group,
    "fan": fan,
    "branches": branches,
    "long_chain": long_chain,
}
