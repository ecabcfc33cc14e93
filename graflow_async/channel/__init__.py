"""What the tasks of a run share: a channel is one namespace of a store.

`shared` has the channel itself and its typed form, `blocking` the same two for sync tasks in worker threads. No value
is kept here and no backend is known: every verb is a call of the store's port.
"""

from __future__ import annotations

from .blocking import Call, SyncChannel, SyncTypedChannel, SyncWatch
from .shared import LOCK_TIMEOUT, Channel, ChannelWatch, TypedChannel

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
