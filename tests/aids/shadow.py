"""Every run keeps a journal, and after every record the story is told again: it has to come to the machine's own state.

For `pytest --shadow`: whatever the ordinary suite does with a run, a process that dies at any record would be resumed
from exactly the state that the run was in. Values stay in memory as they are, so that tests need not return what can be
pickled.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from graflow_async._core.question import Question
from graflow_async._core.replay import digest
from graflow_async._runtime import encoding
from graflow_async._runtime.decoding import Decoder
from graflow_async._runtime.encoding import Encoder
from graflow_async._runtime.history import History, opening_of
from graflow_async._runtime.recording import JournaledScheduler
from graflow_async.checkpointer import Record
from graflow_async.checkpoints.memory import MemoryCheckpointer
from graflow_async.workflow import Workflow

if TYPE_CHECKING:
    import pytest

    from graflow_async._core.events import Event

MARK = b"L"
checked = [0]


def install(patch: pytest.MonkeyPatch) -> None:
    """Let every run keep a journal in memory, and compare after every fact."""
    kept: list[Any] = []
    loads = Decoder.loads
    new_run = Workflow._new_run

    def dumps_here(self: Encoder, value: Any, what: str, part: int | None = None) -> bytes:
        del self, what, part
        kept.append(_copied(value))
        return MARK + str(len(kept) - 1).encode()

    def loads_here(self: Decoder, data: bytes) -> Any:
        return _copied(kept[int(data[1:])]) if data[:1] == MARK else loads(self, data)

    def journaled_run(self: Workflow, start_node: Any, options: Any, *, watched: bool) -> Any:
        if not {"checkpointer", "checkpoint_dir"} & options.keys():
            options = {**options, "checkpointer": MemoryCheckpointer(keep_code=True)}
        return new_run(self, start_node, options, watched=watched)

    submit = JournaledScheduler.submit

    def checked_submit(self: Any, event: Event) -> None:
        depth = self.__dict__.setdefault("_shadow_depth", 0)
        self._shadow_depth = depth + 1
        try:
            submit(self, event)
        finally:
            self._shadow_depth = depth
        if depth == 0 and not self.done.done():
            _compare(self)

    patch.setattr(Encoder, "dumps", dumps_here)
    patch.setattr(Encoder, "dumps_slowly", dumps_here)
    patch.setattr(Decoder, "loads", loads_here)
    patch.setattr(encoding, "whole", lambda *_: None)
    patch.setattr(Workflow, "_new_run", journaled_run)
    patch.setattr(JournaledScheduler, "submit", checked_submit)


def _copied(value: Any) -> Any:
    """Copy the containers of a record, so that the two stories do not share them."""
    if isinstance(value, Question):
        return copy.copy(value)
    if value.__class__ is tuple:
        return tuple(_copied(item) for item in value)
    return list(value) if value.__class__ is list else value


def _compare(scheduler: Any) -> None:
    """Tell what was written since the last time, and compare."""
    log = scheduler.journal.log
    if scheduler.journal._encoder._live is None:
        return  # a journal that the test itself keeps
    records: list[Record] = log._run.records
    history: History | None = scheduler.__dict__.get("_shadow")
    state = scheduler.state
    if history is None:
        scheduler.journal.compact = None  # the records are counted here
        history = scheduler._shadow = History(opening_of(records), state.root.graph, {}, None)
        history.decoder.live = scheduler.journal._encoder._live
        scheduler._shadow_told = 0
    history.tell(records[scheduler._shadow_told :])
    scheduler._shadow_told = len(records)
    scheduler._shadow_wait = scheduler.__dict__.get("_shadow_wait", 0) - 1
    if scheduler._noting.taken or scheduler._shadow_wait > 0:
        return  # taken by lanes since: written with the next fact; or so much is alive that looking at all takes long
    scheduler._shadow_wait = len(state.live) // 10 + len(state.root.results) // 10
    ours, told = digest(state), digest(history.state)
    assert set(ours["results"]) == set(told["results"])
    for name in ("failures", "live", "waiting", "gates", "steps", "next_key", "stop"):
        assert ours[name] == told[name], f"{name}: the run has {ours[name]}, its journal comes to {told[name]}"
    checked[0] += 1
