"""Live progress of runs in a terminal: what `progress=True` shows. rich comes with the extra `cli`.

The view is a listener that wants rare events only; everything else it reads from the state of the run when it draws,
in a thread of its own, so that neither a slow terminal nor a blocked loop holds up the other.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .._core.run_state import RunState
from ..errors import ConfigError
from ..services import Services
from ._screen import screen_for
from ._view import View

if TYPE_CHECKING:
    from typing import TextIO

_NO_TERMINALS = frozenset({"dumb", "unknown"})


def views(name: str, state: RunState, services: Services) -> list[View]:
    """Give the listeners that show a run on stderr: one, or none where stderr is no terminal that can draw.

    Args:
        name: the workflow's name.
        state: of the run.
        services: what serves the tasks of the run.

    Raises:
        ConfigError: there is a terminal, but rich is not installed.
    """
    stream: TextIO | None = sys.stderr
    if stream is None or not _can_draw(stream):
        return []
    if "rich" not in sys.modules and find_spec("rich") is None:
        raise ConfigError('progress=True draws with rich: pip install "graflow-async[cli]"')
    screen = screen_for(stream)
    return [] if screen is None else [View(name, state, services, screen)]


def _can_draw(stream: TextIO) -> bool:
    """Say whether a stream is a terminal that knows how to move its cursor."""
    if os.environ.get("TERM", "").lower() in _NO_TERMINALS:
        return False
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # no stream, or a closed one
        return False
