"""What a workflow looks like, so that a recorded run can say what has changed since: the graph, and the code."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from .definition import Definition
from .graph import Graph, Join
from .policy import GroupPolicy

if TYPE_CHECKING:
    from types import CodeType

Shape = dict[str, tuple[Any, ...]]
"""id -> (what comes before it, how it runs and what decides about it, hash of its code)."""


def shape_of(graph: Graph) -> Shape:
    """Describe a graph by plain data that can be compared."""
    codes: dict[Any, str] = {}
    texts: dict[str, str] = {}  # equal texts are one object: pickled once
    shape: Shape = {}
    for node in graph.table:
        before = tuple(graph.table[n].id for n in graph.predecessors_of[node.number])
        if node.task is None:
            join = node.join
            shape[node.id] = (before, "" if join is None else _asked(join), "")
            continue
        definition = node.task.definition
        func: Any = definition.func
        code = codes.get(id(func))
        if code is None:
            code = codes[id(func)] = code_hash(definition)
        limits = f", limits {list(definition.limits)}" if definition.limits else ""
        text = f"{node.kind} with {definition.retry!r}{limits}"
        shape[node.id] = (before, texts.setdefault(text, text), code)
    return shape


def graph_changes(old: Shape, new: Shape) -> list[str]:
    """List what makes two graphs run differently, one line for each difference."""
    lines = [f"{name!r} is gone" for name in old if name not in new]
    lines += [f"{name!r} is new" for name in new if name not in old]
    for name in old:
        if name not in new:
            continue
        if old[name][0] != new[name][0]:
            lines.append(f"{name!r} came after {list(old[name][0])}, and comes after {list(new[name][0])} now")
        if old[name][1] != new[name][1]:
            lines.append(f"{name!r} was {old[name][1]}, and is {new[name][1]} now")
    if not lines and list(old) != list(new):
        lines.append(f"the order of definition was {list(old)}, and is {list(new)} now")
    return lines


def code_changes(old: Shape, new: Shape) -> list[str]:
    """List the tasks whose code is not the same any more."""
    return [name for name in old if name in new and old[name][2] != new[name][2]]


def _asked(join: Join) -> str:
    """Describe what a group asks; a policy of the user's own by its class, for its text may hold an address."""
    policy = join.policy
    text = type(policy).__qualname__
    if isinstance(policy, GroupPolicy):
        text += str(sorted((n, sorted(v) if isinstance(v, frozenset) else v) for n, v in vars(policy).items()))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return f"a group of {list(join.keys)}, {text}, at most {join.max_concurrency}"


def code_hash(definition: Definition) -> str:
    """Hash the byte code of a function with its constants and names; the same for the same source and Python."""
    func: Any = definition.func
    while hasattr(func, "func") and not hasattr(func, "__code__"):
        func = func.func
    code = getattr(getattr(func, "__func__", func), "__code__", None)
    if code is None:
        return type(func).__qualname__
    digest = hashlib.sha256()
    stack: list[CodeType] = [code]
    while stack:
        current = stack.pop()
        digest.update(current.co_code)
        digest.update(repr((current.co_names, current.co_varnames)).encode())
        for constant in current.co_consts:
            if hasattr(constant, "co_code"):
                stack.append(constant)
            elif isinstance(constant, frozenset):  # its order differs from process to process
                digest.update(repr(sorted(map(repr, constant))).encode())  # pyright: ignore[reportUnknownArgumentType]
            else:
                digest.update(repr(constant).encode())
    return digest.hexdigest()[:16]
