"""One task that was sent to a worker, and the run's side of its conversation with whoever runs it."""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import TYPE_CHECKING, Any

from .._redis.payloads import Payloads
from .._runtime.calls import ChildHandle
from .._runtime.conversation import Conversation
from ..context.plain import path_of
from ..protocols import Job as TaskJob

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

PURPOSE = "job"  # what jobs, their code and what is said about them are signed for
ANEW = b"anew"  # a worker asks for the order: another one has begun this job before
SILENT = b"s"  # in front of an outcome: the body has said nothing to its run
TALKED = b"t"


def payloads_of(keyring: Any, run: str) -> Payloads:
    """Give what signs everything about the jobs of a run, which is named as keys name it."""
    return Payloads(keyring, PURPOSE).bound_to(run)


def fingerprint(task: TaskJob, code: bytes, order: bytes) -> str:
    """Give what tells a job from others of its name: the same in another process if it is the same there.

    Args:
        task: what is called.
        code: digest of the code of the run.
        order: counts instead where an argument cannot be pickled without looking at which objects are one.
    """
    face = task.home.face
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
        return hashlib.blake2b(order, digest_size=6, key=code).hexdigest()
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


class Sent:
    """A job that is under way.

    Attributes:
        id: of the job in the queue.
        task: what it comes from.
        outcome: how it ends, whoever runs it.
        payload: the order, signed; None once Redis has it.
        fence: the claim with which the conversation is; 0 before a worker has said something.
        is_sent: Redis has it.
        is_over: Redis has told its end.
        has_talked: the conversation has begun.
    """

    __slots__ = ("_service", "_tell", "fence", "has_talked", "id", "is_over", "is_sent", "outcome", "payload", "task")

    def __init__(self, task: TaskJob, name: str, payload: bytes, tell: Callable[[Sent, bytes], None]) -> None:
        """Make ready to be sent; `tell` passes on what is said to whoever runs it."""
        self.id = name
        self.task = task
        self.payload: bytes | None = payload
        self.fence = 0
        self.is_sent = False
        self.is_over = False
        self.has_talked = False
        self.outcome: asyncio.Future[Any] = task.home.link.scheduler.loop.create_future()
        self._tell = tell
        self._service: Service | None = None

    def take(self, data: bytes) -> None:
        """Take a message of whoever runs it; the conversation is made with the first, as most have one only."""
        if self._service is None:
            home = self.task.home
            self._service = Service(home.link, home.instance, lambda data: self._tell(self, data))
            self._service.outcome = self.outcome
        self._service.take(data)

    def begin_anew(self) -> Service | None:
        """Begin another conversation, and give the old one, which is to be given up."""
        old, self._service = self._service, None
        self.has_talked = False
        if old is not None:
            old.outcome = self.outcome.get_loop().create_future()
        return old

    def await_again(self) -> None:
        """Have an outcome again: whoever awaited it was cancelled, and it with them; how the body ends is to come."""
        self.outcome = self.outcome.get_loop().create_future()
        if self._service is not None:
            self._service.outcome = self.outcome

    async def aclose(self) -> None:
        """End the conversation, if there is one."""
        if self._service is not None:
            await self._service.aclose()

    def end(self, error: BaseException) -> None:
        """Let it end with an exception."""
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # whoever has given it up does not ask
