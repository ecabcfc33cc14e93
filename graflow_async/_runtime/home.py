"""Where a job comes from, for executors that let the task use its context elsewhere."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._core.state import Instance
from .link import Link


class Home(NamedTuple):
    """A body that is to run elsewhere, as it is here."""

    link: Link
    instance: Instance
    face: Any
