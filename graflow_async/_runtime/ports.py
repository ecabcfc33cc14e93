"""What the runtime asks of those who plug into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .._core.commands import Tell
from .._core.state import Instance

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class ThreadPort(Protocol):
    """Runs plain functions in threads."""

    def submit(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Start a call in a thread of its own and give the future of its value."""
        ...


class TaskContext(Protocol):
    """What the runtime needs of a task's context."""

    wishes: Any
    failures: Any

    def unawaited_failure(self) -> BaseException | None:
        """The exception of a called child that failed and that nobody awaited."""
        ...


class Notifier(Protocol):
    """Tells listeners what happens."""

    def tell(self, command: Tell) -> None:
        """Make the event that the machine asks to tell, and send it."""
        ...

    def started(self, instance: Instance) -> None:
        """Tell that a body begins."""
        ...

    def emitted(self, instance: Instance, data: Any) -> None:
        """Tell what a task emits."""
        ...

    def progress(self, instance: Instance, done: float, total: float | None, message: str) -> None:
        """Tell how far a task is."""
        ...
