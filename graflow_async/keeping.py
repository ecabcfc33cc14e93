"""Putting a journal under a run: the head of its log, where it is kept, and what goes on when the run is resumed."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import platform
from typing import TYPE_CHECKING, Any

from ._core.events import Cancelled, Completed, StopRequested, Unparked
from ._core.run_state import RunState
from ._core.state import Status
from ._lazy import lazily
from ._runtime.calls import ChildHandle
from ._runtime.encoding import Encoder, whole
from ._runtime.history import History, opening_of
from ._runtime.journal import Journal, resumed_record
from ._runtime.limits import Limits
from ._runtime.link import Link
from ._runtime.recorded import Recorded
from ._runtime.recording import JournaledScheduler
from ._runtime.unsaved import run_again
from ._version import __version__
from .checkpointer import Checkpointer, Kind, Log, Record
from .definition import Definition
from .errors import ConfigError, NotSerializableError, TaskInterruptedError
from .fingerprint import shape_of
from .graph import Graph
from .options import DEFAULT_DIRECTORY, is_url
from .protocols import Clock
from .store import KeyValueStore
from .stores.journaled import make_again

if TYPE_CHECKING:
    from collections.abc import Mapping


logger = logging.getLogger("graflow_async.journal")
_file = lazily("graflow_async.checkpoints.file")
_redis = lazily("graflow_async.checkpoints.redis")
_codec = lazily("graflow_async.codec")


FORMAT = 1
LASTING = frozenset({Kind.HEADER, Kind.GRAPH, Kind.CODE, Kind.FUNCTION, Kind.KEPT, Kind.RESUMED})
LARGE = 500  # nodes: the graph of a larger workflow is pickled in a thread
_BODY = frozenset({Status.RUNNING, Status.PARKED, Status.RESUMING})


def checkpointer_of(options: Mapping[str, Any]) -> tuple[Checkpointer, bool]:
    """Give the checkpointer that some options ask for, and whether it was made here: files in `./checkpoints` if none.

    Instead of a directory there may be the URL of a Redis.

    Raises:
        ConfigError: what was given is no checkpointer.
    """
    given: Any = options.get("checkpointer")
    if given is not None:
        if not isinstance(given, Checkpointer):
            message = f"checkpointer= takes a FileCheckpointer, MemoryCheckpointer or the like, not {given!r}"
            raise ConfigError(message)
        return given, False
    keys = options.get("secret_keys")
    place = options.get("checkpoint_dir") or DEFAULT_DIRECTORY
    if is_url(place):
        return _redis.RedisCheckpointer(place, secret_keys=keys), True
    keyring = None if keys is None else _codec.Keyring.load(keys)
    return _file.FileCheckpointer(place, keyring=keyring), True


def new_keeper(options: Mapping[str, Any], templates: Mapping[str, Definition]) -> Keeper:
    """Make the keeper of a new run."""
    checkpointer, is_own = checkpointer_of(options)
    return Keeper(checkpointer, options.get("durability", "process"), templates, is_own=is_own)


def head(
    run_id: str, name: str, graph: Graph, limits: Limits, at: float, live: list[Any] | None, more: Mapping[str, Any]
) -> list[tuple[int, bytes]]:
    """Make the first two records of a log: what the run is, and its graph."""
    header = {
        "format": FORMAT,
        "run_id": run_id,
        "workflow": name,
        "created_at": at,
        "version": __version__,
        "python": platform.python_version(),
        "limits": limits.as_json(),
        **more,
    }
    try:
        kept = whole(graph, live)
    except NotSerializableError as error:
        logger.info("run %s can only be resumed with its workflow at hand: %s", run_id, error)
        kept = None
    return [(Kind.HEADER, json.dumps(header).encode()), (Kind.GRAPH, pickle.dumps((shape_of(graph), kept), 5))]


class Keeper:
    """Keeps the journal of one run, new or resumed.

    Attributes:
        history: what was recorded before; None for a new run.
    """

    def __init__(
        self, checkpointer: Checkpointer, durability: str, templates: Mapping[str, Definition], *, is_own: bool
    ) -> None:
        """Write to `checkpointer`, and close it in the end if it `is_own`."""
        self._checkpointer = checkpointer
        self._durability = durability
        self._templates = templates
        self._is_own = is_own
        self._log: Log | None = None
        self.history: History | None = None
        self.interrupted: Mapping[str, Any] | str | None = None
        self.results: dict[int, Any] = {}
        self.journal: Journal

    @property
    def home(self) -> Any:
        """The directory in which the run is recorded; None if it is not kept in files."""
        return getattr(self._checkpointer, "directory", None)

    def resume(self, history: History, log: Log, interrupted: Mapping[str, Any] | str | None) -> None:
        """Go on with a run that was recorded; `log` is held already."""
        self.history, self._log, self.interrupted = history, log, interrupted

    async def open(self, state: RunState, name: str, limits: Limits, clock: Clock, start_node: Any) -> Journal:
        """Open the journal: take or begin the log, and write its head.

        Raises:
            CheckpointError: there is a run of that id, or the storage refuses.
            TaskInterruptedError: a task that must not run twice had begun.
        """
        graph, history = state.root.graph, self.history
        live: list[Any] | None = getattr(self._checkpointer, "objects", None)
        if history is not None and self._log is not None:
            self.results = self._check_interrupted()
            log = self._log
            log.append(*resumed_record(clock.time(), history.epoch + 1, limits))
            last = max((operation[0] for operation in history.writes), default=0)
            templates = self._templates
            self.journal = Journal(
                log, state, clock, self._durability, lambda emit: history.encoder(templates, emit), last
            )
        else:
            log = self._log = await self._checkpointer.create(state.run_id)
            make = (state.run_id, name, graph, limits, clock.time(), live, {"start": _ids(start_node)})
            records = await asyncio.to_thread(head, *make) if len(graph.table) > LARGE else head(*make)
            for record in records:
                log.append(*record)
            self.journal = Journal(
                log, state, clock, self._durability, lambda emit: Encoder(graph, self._templates, live, emit)
            )
        self.journal.compact = self._compact
        return self.journal

    async def _compact(self, before: int) -> None:
        """Put the records so far into a snapshot; channel writes numbered from `before` on stay apart in it."""
        log = self._log
        if log is None:
            return
        records = await self._checkpointer.read(log.run_id)
        live: list[Any] | None = getattr(self._checkpointer, "objects", None)
        made = await asyncio.to_thread(self._put_together, records, live, before)
        if made is not None:
            await log.compact(made, records[-1].seq + 1)

    def _put_together(
        self, records: list[Record], live: list[Any] | None, before: int
    ) -> list[tuple[int, bytes]] | None:
        """Make the records that stand for these; None for those of a run that is about to end."""
        graph = self.journal.state.root.graph
        history = History(opening_of(records), graph, self._templates, live)
        history.tell(records)
        if history.state.root.stop is not None or history.finish is not None:
            return None
        made = [(record.kind, record.payload) for record in records if record.kind in LASTING]
        encoder = history.encoder(self._templates, lambda kind, payload: made.append((kind, payload)))
        snapshot = history.snapshot(encoder, before)
        return [*made, (Kind.SNAPSHOT, snapshot)]

    def attach(self, scheduler: JournaledScheduler, link: Link) -> None:
        """Let a run write into the journal, and find what was recorded."""
        history = self.history
        link.memory = scheduler
        self._link = link
        scheduler.record_into(self.journal, Recorded() if history is None else history.fold.recorded)
        place_of: Any = getattr(self._checkpointer, "place_of", str)
        scheduler.place = place_of(scheduler.state.run_id)
        if history is None:
            return
        for handle in history.handles:
            handle.bind(ChildHandle(scheduler, None, f"number {handle.key}", []))
        for key, (_, namespace, provided) in history.fold.namespaces.items():
            if key in history.state.scopes:
                link.serve(key, self.renamed(namespace), provided)

    def renamed(self, key: str) -> str:
        """Give a key of the store as it is called in this run: a fork has another run's records."""
        history = self.history
        if history is not None:
            for old in history.header.get("forked_from", ()):
                if key.startswith((f"{old}:", f"{old}/")):
                    return history.header["run_id"] + key[len(old) :]
        return key

    async def restore(self, store: KeyValueStore, now: float) -> None:
        """Make the recorded channel writes again."""
        history = self.history
        if history is not None:
            await store.clear(f"{history.header['run_id']}:")
            await store.clear(f"{history.header['run_id']}/")
            ordered = sorted(history.writes, key=_number)
            await make_again(store, ((o[1], self.renamed(o[2]), *o[3:]) for o in ordered), now)

    async def restart(self, scheduler: JournaledScheduler, clock: Clock) -> None:
        """Let go on what was under way when the recorded run stopped; first what is needed and was not recorded."""
        history = self.history
        if history is None:
            return
        if history.finish is not None:
            scheduler.done.set_result(history.finish)
            return
        state, now = scheduler.state, clock.time()
        try:
            await run_again(scheduler)
        except Exception as error:  # noqa: BLE001  # it is the run that has failed
            scheduler.submit(StopRequested("failed", error))
        for token in list(state.timers):
            scheduler.timers.set(token, max(history.fold.deadlines.get(token, now) - now, 0.0))
        if state.asked:
            self._link.desk.restart()
        under_way = [instance for instance in state.live.values() if instance.status in _BODY]
        batches = [batch for batch in state.batches.values() if not batch.gates]
        for instance in under_way:  # what begins meanwhile begins by itself
            if instance.key not in state.live:
                continue
            if instance.doomed:
                scheduler.submit(Cancelled(instance.key))
            elif instance.key in self.results:
                scheduler.submit(Completed(instance.key, self.results[instance.key]))
            elif instance.status is Status.RUNNING:
                scheduler.again(instance)
            elif instance.status is Status.PARKED:
                scheduler.submit(Unparked(instance.key))
        for batch in batches:
            if batch.first in state.batches:
                scheduler.again(batch)

    def _check_interrupted(self) -> dict[int, Any]:
        """Find tasks that must not run twice and had begun; give the results that the user has for them.

        Raises:
            TaskInterruptedError: there are some, and the user has not said what to do.
        """
        history = self.history
        keys = history.interrupted() if history is not None else []
        if history is None or not keys or self.interrupted == "retry":
            return {}
        given: Any = self.interrupted or {}
        names = {key: history.state.live[key].id for key in keys}
        missing = [name for name in names.values() if name not in given]
        if missing:
            raise TaskInterruptedError(missing, history.header["run_id"])
        return {key: given[name] for key, name in names.items()}

    async def aclose(self, status: str | None) -> None:
        """Write how the run ended (None: it never began), and give everything back.

        Raises:
            CheckpointWriteError: the storage refused.
        """
        try:
            if self._log is not None:
                if status is None:
                    await self._log.aclose()
                else:
                    await self.journal.aclose(status)
        finally:
            if self._is_own:
                await self._checkpointer.aclose()


def _ids(start_node: Any) -> list[str] | None:
    """Give the ids of the nodes that a `start_node` argument names."""
    if start_node is None:
        return None
    nodes: list[Any] = list(start_node) if isinstance(start_node, (list, tuple)) else [start_node]  # pyright: ignore[reportUnknownArgumentType]  # the user's
    return [node if isinstance(node, str) else node.id for node in nodes]


def _number(operation: tuple[Any, ...]) -> int:
    return operation[0]
