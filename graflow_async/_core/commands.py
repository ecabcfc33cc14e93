"""What the machine wants done. The shell performs each; none of them is a fact.

An instance or a batch among the commands stands for itself: run it. (One is given per task; wrapping it is not free.)
"""

from __future__ import annotations

from typing import Any

from .question import Question
from .state import Batch, Instance, Scope


class Cancel:
    """Make a body stop; its end comes back as an event."""

    __slots__ = ("instance",)

    def __init__(self, instance: Instance) -> None:
        """Keep whose."""
        self.instance = instance


class Resume:
    """Let a parked body go on: it has its slots again."""

    __slots__ = ("instance",)

    def __init__(self, instance: Instance) -> None:
        """Keep whose."""
        self.instance = instance


class SetTimer:
    """Send TimerFired(token) after `delay` seconds."""

    __slots__ = ("delay", "token")

    def __init__(self, token: Any, delay: float) -> None:
        """Keep both."""
        self.token = token
        self.delay = delay


class DropTimer:
    """Forget a timer."""

    __slots__ = ("token",)

    def __init__(self, token: Any) -> None:
        """Keep which."""
        self.token = token


class Publish:
    """Ask the outside; a question that is "suspended" is for whoever resumes the run."""

    __slots__ = ("question",)

    def __init__(self, question: Question) -> None:
        """Keep what."""
        self.question = question


class Expire:
    """End a question whose time is over, unless it has just been answered; how it ended comes back as an event."""

    __slots__ = ("question",)

    def __init__(self, question: Question) -> None:
        """Keep which."""
        self.question = question


class Reply:
    """Tell whoever waits that a question has ended."""

    __slots__ = ("question",)

    def __init__(self, question: Question) -> None:
        """Keep which."""
        self.question = question


class Deliver:
    """Give a child's end to whoever awaits it: `kind` is "value", "error" or "cancelled"."""

    __slots__ = ("handle", "index", "kind", "value")

    def __init__(self, handle: Any, index: int, kind: str, value: Any) -> None:
        """Keep receiver and value (or exception)."""
        self.handle = handle
        self.index = index
        self.kind = kind
        self.value = value


class Finish:
    """The run has ended: `kind` is "completed", "failed" or "cancelled"."""

    __slots__ = ("error", "kind", "value")

    def __init__(self, kind: str, value: Any, error: BaseException | None) -> None:
        """Keep the end."""
        self.kind = kind
        self.value = value
        self.error = error


class Tell:
    """Tell listeners of something that follows from a fact; only asked for when somebody listens.

    `at` is when it happened, if a shell holds it back until it is safe.
    """

    __slots__ = ("at", "data", "instance", "kind", "name", "scope")

    def __init__(self, kind: str, name: str, scope: Scope, instance: Instance | None = None, data: Any = None) -> None:
        """Keep what happened to whom."""
        self.kind = kind
        self.name = name
        self.scope = scope
        self.instance = instance
        self.data = data
        self.at: float | None = None


Command = Instance | Batch | Cancel | Resume | SetTimer | DropTimer | Publish | Expire | Reply | Deliver | Finish | Tell
