"""One task that was sent to a worker, and the run's side of its conversation with whoever runs it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import pickle
import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from .._core.state import Instance
from .._core.wishes import Wishes
from .._redis.jobs import Event
from .._redis.payloads import Payloads
from .._runtime.calls import ChildHandle
from .._runtime.conversation import Conversation
from .._runtime.paths import path_of
from .._runtime.talk import PLAIN, SILENT
from ..errors import NotSerializableError, text_of
from ..protocols import Job as TaskJob

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("graflow_async.redis")

PURPOSE = "job"  # what jobs, their code and what is said about them are signed for
ANEW = b"anew"  # a worker asks for the order: another one has begun this job before
ALONE = (SILENT, PLAIN)
_DATED = struct.Struct(">sd")  # in front of what a worker says first: a mark, and the seconds that the body came late
_LATE = b"l"


def payloads_of(keyring: Any, run: str) -> Payloads:
    """Give what signs everything about the jobs of a run, which is named as keys name it."""
    return Payloads(keyring, PURPOSE).bound_to(run)


def dated(data: bytes, delay: float) -> bytes:
    """Say in front of a message of a worker how many seconds it had the job before the body could begin."""
    return _DATED.pack(_LATE, delay) + data


def undated(data: bytes) -> tuple[bytes, float]:
    """Give a message of a worker, and the seconds that it had the job before the body could begin."""
    if data[:1] != _LATE:
        return data, 0.0
    return data[_DATED.size :], _DATED.unpack_from(data)[1]


def fingerprint(task: TaskJob, code: bytes, order: Callable[[], bytes]) -> str:
    """Give what tells a job from others of its name: the same in another process if it is the same there.

    Args:
        task: what is called.
        code: digest of the code of the run.
        order: gives what counts instead where an argument cannot be pickled without looking at which objects are
            one.
    """
    face = task.home.instance.face
    args = tuple(None if value is face else value for value in task.args)
    kwargs = {name: None if value is face else value for name, value in task.kwargs.items()}
    func: Any = task.func
    name = getattr(func, "__module__", ""), getattr(func, "__qualname__", "")
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 5)
    pickler.fast = True  # no memo: what is equal comes out equal, be it one object or two
    try:
        pickler.dump((name, task.task_id, path_of(task.home.instance), args, kwargs, task.home.instance.steps))
    except Exception:  # noqa: BLE001  # cycles, functions, and whatever a user's object raises
        return hashlib.blake2b(order(), digest_size=6, key=code).hexdigest()
    return hashlib.blake2b(buffer.getvalue(), digest_size=6, key=code).hexdigest()


class Service(Conversation):
    """A conversation that can be given up in the middle, because the worker is no more."""

    async def give_up(self) -> None:
        """End it: what the body had called is cancelled, what it had locked is free, its slots are its own again."""
        for handle in self._handles.values():
            if isinstance(handle, ChildHandle):
                handle.cancel()
            else:
                handle.drop()
        await self.aclose()
        while self._waits:
            await self._unpark()


class Sender(Protocol):
    """What sends jobs, as a job sees it."""

    def tell(self, sent: Sent, data: bytes) -> None:
        """Pass on what is said to whoever runs a job."""
        ...

    def stop(self, sent: Sent) -> None:
        """Have a job cancelled."""
        ...

    def settled(self, sent: Sent, value: Any, wishes: Wishes | None, error: BaseException | None) -> None:
        """Take the end of a job."""
        ...


class Sent:
    """A job that is under way.

    Attributes:
        id: of the job in the queue.
        task: what it comes from.
        done: takes its value, or its exception.
        payload: the order, signed; None once Redis has it.
        fence: the claim with which the conversation is; 0 before a worker has said something.
        cancels: how often it was cancelled.
        since, met: what listeners are told of its waits for workers; unset where nobody listens.
        is_sent: Redis has it.
        is_over: Redis has told its end.
        is_settled: it has ended here.
        has_talked: the conversation has begun.
        service: the run's side of the conversation, made when the body says more than its value.
    """

    __slots__ = (
        "_sender", "cancels", "done", "fence", "has_talked", "id", "is_over", "is_sent", "is_settled", "met", "payload",
        "service", "since", "task",
    )  # fmt: skip

    def __init__(
        self,
        task: TaskJob,
        name: str,
        payload: bytes,
        sender: Sender,
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        """Make ready to be sent by `sender`."""
        self.id = name
        self.task = task
        self.done = done
        self.payload: bytes | None = payload
        self.fence = 0
        self.cancels = 0
        self.is_sent = False
        self.is_over = False
        self.is_settled = False
        self.has_talked = False
        self.service: Service | None = None
        self._sender = sender

    since: float
    met: int

    @property
    def instance(self) -> Instance:
        """Whose body it is."""
        return self.task.home.instance

    def cancel(self) -> None:
        """Have it cancelled; the second time nobody waits for its end."""
        self.cancels += 1
        self._sender.stop(self)

    def take(self, data: bytes) -> None:
        """Take a message of whoever runs it."""
        service = self.service
        if service is None:
            home = self.task.home
            _ = home.face  # whoever serves a body needs its context
            service = self.service = Service(home.link, home.instance, lambda data: self._sender.tell(self, data))
            service.outcome.add_done_callback(partial(self._heard, service))
        service.take(data)

    def take_end(self, data: bytes) -> None:
        """Take the last message, with its mark in front."""
        if data[:1] != PLAIN:
            self.take(data[1:])
            return
        try:
            value = pickle.loads(memoryview(data)[1:])
        except Exception as error:  # noqa: BLE001  # of unpickling
            what = f"the result of task {self.task.task_id!r}"
            unread = NotSerializableError(f"{what} cannot be loaded here: {type(error).__name__}: {text_of(error)}")
            unread.__cause__ = error
            self.end(unread)
        else:
            self._sender.settled(self, value, None, None)

    def lost(self, event: Event) -> None:
        """Say in the log that a worker has lost it."""
        task, reason = self.task, event.data.decode(errors="replace")
        logger.warning("task %r of run %s: worker %s has lost it (%s)", task.task_id, task.run_id, event.worker, reason)

    def begin_anew(self) -> Service | None:
        """Begin another conversation, and give the old one, which is to be given up."""
        old, self.service = self.service, None
        self.has_talked = False
        return old

    def end(self, error: BaseException) -> None:
        """Let it end with an exception."""
        self._sender.settled(self, None, None, error)

    def _heard(self, service: Service, outcome: asyncio.Future[tuple[Any, Wishes | None]]) -> None:
        """Take the end that a conversation has come to, unless another one has begun."""
        error = asyncio.CancelledError() if outcome.cancelled() else outcome.exception()
        if service is not self.service:
            return
        value, wishes = (None, None) if error is not None else outcome.result()
        self._sender.settled(self, value, wishes, error)
