"""langgraph: graphs over a shared state, run through its asynchronous door."""

from __future__ import annotations

import asyncio
import importlib
import operator
import time
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from benchmarks.floor import LAYERS, SLEEP
from benchmarks.probes import Sample, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_graphs: Any = importlib.import_module("langgraph.graph")
_types: Any = importlib.import_module("langgraph.types")

SPARE_STEPS = 50


class _State(TypedDict):
    """The smallest state that many nodes may write in one step."""

    ran: Annotated[int, operator.add]


async def _run(builder: Any, tally: Tally, count: int, began: float) -> Sample:
    graph = builder.compile()
    built = time.perf_counter()
    state = await graph.ainvoke({"ran": 0}, {"recursion_limit": count + SPARE_STEPS})
    ended = time.perf_counter()
    tally.ran = state["ran"]
    tally.expect(count)
    return {"seconds": ended - built, "build": built - began}


async def _trivial(_state: Any) -> dict[str, int]:
    return {"ran": 1}


async def _nothing(_state: Any) -> dict[str, int]:
    return {"ran": 0}


async def _fan_out(count: int, leaf: Callable[[Any], Coroutine[Any, Any, dict[str, int]]]) -> Sample:
    began = time.perf_counter()
    builder = _graphs.StateGraph(_State)
    builder.add_node("source", _nothing)
    builder.add_node("leaf", leaf)
    builder.add_node("sink", _nothing)
    builder.add_edge(_graphs.START, "source")
    builder.add_conditional_edges(
        "source", lambda _state: [_types.Send("leaf", {"ran": 0}) for _ in range(count)], ["leaf"]
    )
    builder.add_edge("leaf", "sink")
    return await _run(builder, Tally(), count, began)


async def fanout(count: int) -> Sample:
    """Measure one node that sends `count` times to another, then a successor."""
    return await _fan_out(count, _trivial)


async def sleepers(count: int) -> Sample:
    """Measure the same with nodes that sleep 10 ms."""

    async def leaf(_state: Any) -> dict[str, int]:
        await asyncio.sleep(SLEEP)
        return {"ran": 1}

    return await _fan_out(count, leaf)


async def chain(count: int) -> Sample:
    """Measure `count` nodes in a row."""
    began = time.perf_counter()
    builder = _graphs.StateGraph(_State)
    before = _graphs.START
    for index in range(count):
        builder.add_node(f"t{index}", _trivial)
        builder.add_edge(before, f"t{index}")
        before = f"t{index}"
    return await _run(builder, Tally(), count, began)


async def loop(count: int) -> Sample:
    """Measure one node with an edge back to itself, `count` turns."""
    began = time.perf_counter()
    builder = _graphs.StateGraph(_State)
    builder.add_node("turn", _trivial)
    builder.add_edge(_graphs.START, "turn")
    builder.add_conditional_edges(
        "turn", lambda state: "turn" if state["ran"] < count else _graphs.END, ["turn", _graphs.END]
    )
    return await _run(builder, Tally(), count, began)


async def layers(count: int) -> Sample:
    """Measure 20 layers of `count / 20` nodes with a join node between each two."""
    width = max(1, count // LAYERS)
    began = time.perf_counter()
    builder = _graphs.StateGraph(_State)
    before = _graphs.START
    for layer in range(LAYERS):
        names = [f"t{layer}_{index}" for index in range(width)]
        for name in names:
            builder.add_node(name, _trivial)
            builder.add_edge(before, name)
        before = f"join{layer}"
        builder.add_node(before, _nothing)
        builder.add_edge(names, before)
    return await _run(builder, Tally(), width * LAYERS, began)


SCENARIOS: dict[str, Callable[[int], Coroutine[Any, Any, Sample]]] = {
    "fanout": fanout,
    "chain": chain,
    "loop": loop,
    "layers": layers,
    "sleepers": sleepers,
}

IMPORT = "import langgraph.graph"

HELLO = """
import asyncio
from typing import TypedDict
from langgraph.graph import END, START, StateGraph

class State(TypedDict):
    word: str

async def hello(state):
    return {"word": "hello"}

builder = StateGraph(State)
builder.add_node("hello", hello)
builder.add_edge(START, "hello")
builder.add_edge("hello", END)
print(asyncio.run(builder.compile().ainvoke({"word": ""}))["word"])
"""
