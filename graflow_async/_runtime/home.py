"""The jobs of a run: what executors get, and what lets a task use its context elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.state import Instance
from ..protocols import Job
from .link import Link
from .paths import idempotency_key

if TYPE_CHECKING:
    from collections.abc import Callable


class Home(Job):
    """One attempt of a body of a run here. Thousands are under way at once: it is one object, and makes what is asked.

    Attributes:
        link: to the run.
        instance: whose body it is.
    """

    __slots__ = ("_context_for", "instance", "link")

    def __init__(
        self,
        link: Link,
        instance: Instance,
        context_for: Callable[[Instance], Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Keep it; `context_for` makes the context of a body, once."""
        self.link = link
        self.instance = instance
        self._context_for = context_for
        self.run_id = link.run_id
        self.task_id = instance.id
        self.key = instance.key
        self.func = instance.task.definition.func  # type: ignore[assignment]  # what has none is no job
        self.args = args
        self.kwargs = kwargs
        self.attempt = instance.attempt
        self.turn = instance.turn
        self.around = instance.around

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this turn, also after a resume."""
        return idempotency_key(self.run_id, self.instance)

    @property
    def home(self) -> Home:
        """Where the job comes from: it knows that itself."""
        return self

    @property
    def face(self) -> Any:
        """The context of the body, made when somebody asks: most bodies that run elsewhere need none here."""
        return self._context_for(self.instance)
