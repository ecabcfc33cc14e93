"""What the runtime asks of those who plug into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .._core.commands import Tell
from .._core.question import Question
from .._core.state import Instance
from .._lazy import lazily

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from ..broker import Broker

_broker = lazily("graflow_async.broker")  # for its types


class ThreadPort(Protocol):
    """Runs plain functions in threads."""

    def submit(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Start a call in a thread of its own and give the future of its value."""
        ...


class CallingBack(ThreadPort, Protocol):
    """Threads that need no future."""

    def run(self, call: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Start a call in a thread of its own, and give its value or its exception to `done`, on the loop."""
        ...


class TaskContext(Protocol):
    """What the runtime needs of a task's context."""

    wishes: Any
    failures: Any

    def unawaited_failure(self) -> BaseException | None:
        """The exception of a called child that failed and that nobody awaited."""
        ...


class Notifier(Protocol):
    """Tells listeners what happens; those that put blocks around bodies are `surrounding`."""

    surrounding: list[Any]

    @property
    def is_detailed(self) -> bool:
        """Whether anybody wants to know of every task, and not only of what is rare."""
        ...

    def tell(self, command: Tell) -> None:
        """Make the event that the machine asks to tell, and send it."""
        ...

    def started(self, instance: Instance) -> None:
        """Tell that a body begins."""
        ...

    def waiting(self, instance: Instance, wait: str, about: str) -> None:
        """Tell that a body begins to wait."""
        ...

    def resumed(self, instance: Instance, wait: str, about: str) -> None:
        """Tell that a body need not wait any more."""
        ...

    def waited(self, instance: Instance, wait: str, about: str, since: float, until: float) -> None:
        """Tell of a wait of a body that is over, and was not known before; times are seconds since the epoch."""
        ...

    def blocked(self, instance: Instance | None, seconds: float, file: str, line: int, function: str) -> None:
        """Tell that the loop was held."""
        ...

    def emitted(self, instance: Instance, data: Any) -> None:
        """Tell what a task emits."""
        ...

    def progress(self, instance: Instance, done: float, total: float | None, message: str) -> None:
        """Tell how far a task is."""
        ...

    def no_workers(self, queue: str, waiting: int) -> None:
        """Tell that nobody is there to run tasks."""
        ...

    def workers_back(self, queue: str, worker: str) -> None:
        """Tell that somebody is there again."""
        ...


class Asking(Protocol):
    """Asks people on behalf of bodies, and waits for events."""

    @property
    def broker(self) -> Broker:
        """Where the questions go."""
        ...

    def restart(self) -> None:
        """Put the questions again that were open when the recorded run stopped; a fork asks its own."""
        ...

    async def aclose(self, *, withdraw: bool, grace: float) -> None:
        """Let what is under way end, for at most `grace` seconds; withdraw what is still open if the run is over."""
        ...

    def ask(
        self, instance: Instance, owner: str, slot: Any, draft: Any, timeout: float | None, *, anew: bool = False
    ) -> Question:
        """Ask a question (a `FeedbackRequest`), unless this place of the run has asked it before: give it, open or not.

        Raises:
            DuplicateRequestError: its name belongs to a question that is asked elsewhere in the run.
        """
        ...

    def expect(self, instance: Instance, owner: str, slot: Any, topic: str, timeout: float | None) -> Question:
        """Wait for an event, unless this place of the run has waited for it before."""
        ...

    def waiter(self, question: Question) -> asyncio.Future[None]:
        """Give a future that is done once a question has ended."""
        ...

    def let_go(self, question: Question, future: asyncio.Future[None]) -> None:
        """Stop waiting for a question; one that nobody waits for is withdrawn."""
        ...


class Memory(Protocol):
    """Keeps what a body must find again when it starts over in another process."""

    def position(self, instance: Instance) -> int:
        """Say how much an instance has written into channels so far."""
        ...

    async def keep(self, instance: Instance, name: Any, value: Any, since: int) -> None:
        """Keep the value of a step of a body, with what was written into channels from position `since` on.

        Raises:
            NotSerializableError: the value cannot be pickled.
        """
        ...

    async def save(
        self, instance: Instance, path: str | None, metadata: Mapping[str, Any] | None
    ) -> tuple[str, dict[str, Any]]:
        """Take a checkpoint of the whole run now; give its place and what was noted about it."""
        ...

    async def flush(self) -> None:
        """Wait until everything that was recorded survives what it has to survive."""
        ...

    def save_after(self, instance: Instance, path: str | None, metadata: Mapping[str, Any] | None) -> None:
        """Take a checkpoint of the whole run when a body has returned."""
        ...
