"""What the tasks of a run share: a channel is one namespace of a store.

`shared` has the channel itself and its typed form, `blocking` the same two for sync tasks in worker threads (loaded
with the first of them). No value is kept here and no backend is known: every verb is a call of the store's port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._lazy import lazily
from .shared import LOCK_TIMEOUT, Channel, ChannelWatch, TypedChannel

if TYPE_CHECKING:
    from .blocking import Call, SyncChannel, SyncTypedChannel, SyncWatch

_blocking = lazily("graflow_async.channel.blocking")

__all__ = [
    "LOCK_TIMEOUT",
    "Call",
    "Channel",
    "ChannelWatch",
    "SyncChannel",
    "SyncTypedChannel",
    "SyncWatch",
    "TypedChannel",
]


def __getattr__(name: str) -> Any:
    """Give what is loaded when it is first asked for."""
    if name in __all__:
        return getattr(_blocking, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
