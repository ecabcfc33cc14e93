"""Contexts of bodies that run in a worker."""

from __future__ import annotations

import pickle
from typing import Any

from .. import codec
from .._core.state import Instance
from .._runtime.far_link import FarLink
from .._runtime.talk import SILENT
from ..context import TaskExecutionContext
from ..context.blocking import FlowContext, SyncTaskExecutionContext


def new_face(link: FarLink, instance: Instance) -> Any:
    """Make the context of a body."""
    if instance.kind == "async":
        return TaskExecutionContext(link, instance)
    return (FlowContext if instance.task.definition.is_flow else SyncTaskExecutionContext)(link, instance)


def cannot(error: BaseException) -> bytes:
    """Make the outcome of a body that could not begin: its task fails, and is not tried again."""
    return SILENT + pickle.dumps(("raised", 0, [], pickle.dumps((codec.dumps_error(error), False), 5)), 5)
