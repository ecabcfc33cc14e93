"""Which facts about an instance may arrive in which status; the machine consults it before it changes anything."""

from __future__ import annotations

from .events import Asked, Called, Cancelled, CancelRequested, Completed, Failed, Parked, RunCalled, Suspended, Unparked
from .state import FINAL, Status

_BODY = frozenset({Status.RUNNING, Status.PARKED, Status.RESUMING})

LEGAL: dict[type, frozenset[Status]] = {
    Completed: _BODY,
    Failed: _BODY,
    Cancelled: _BODY,
    Called: _BODY,
    RunCalled: _BODY,
    Asked: _BODY,
    Suspended: _BODY,
    Parked: frozenset({Status.RUNNING}),
    Unparked: frozenset({Status.PARKED}),
    CancelRequested: frozenset(Status) - FINAL,
}
