"""Aids for testing workflows and adapters. What workflows need is here; conformance suites are modules of their own.

`run_sync` runs anything in virtual time; `ScriptedPeople` answers questions; `EventRecorder` keeps what happens;
`FakeClock` is for loops of somebody else's. The pytest plugin (`plugin`) adds `@pytest.mark.graflow(schedules=200,
crash="every-commit")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._lazy import lazily as _lazily

if TYPE_CHECKING:
    from .clock import FakeClock
    from .harness import CrashSafetyError, Harness
    from .loop import DeadlockError, LeakError, LivelockError, SimulationError, VirtualLoop
    from .people import NOBODY, Answer, ScriptedPeople, UnexpectedQuestionError, in_turn
    from .recorder import EventRecorder
    from .running import run_sync, simulate

_loop = _lazily("graflow_async.testing.loop")
_harness = _lazily("graflow_async.testing.harness")
_people = _lazily("graflow_async.testing.people")
_running = _lazily("graflow_async.testing.running")
_LATE = {
    "FakeClock": _lazily("graflow_async.testing.clock"),
    "EventRecorder": _lazily("graflow_async.testing.recorder"),
    **dict.fromkeys(("CrashSafetyError", "Harness"), _harness),
    **dict.fromkeys(("DeadlockError", "LeakError", "LivelockError", "SimulationError", "VirtualLoop"), _loop),
    **dict.fromkeys(("NOBODY", "Answer", "ScriptedPeople", "UnexpectedQuestionError", "in_turn"), _people),
    **dict.fromkeys(("run_sync", "simulate"), _running),
}


def __getattr__(name: str) -> Any:
    """Give what is loaded when it is first asked for."""
    if name in _LATE:
        return getattr(_LATE[name], name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "NOBODY",
    "Answer",
    "CrashSafetyError",
    "DeadlockError",
    "EventRecorder",
    "FakeClock",
    "Harness",
    "LeakError",
    "LivelockError",
    "ScriptedPeople",
    "SimulationError",
    "UnexpectedQuestionError",
    "VirtualLoop",
    "in_turn",
    "run_sync",
    "simulate",
]
