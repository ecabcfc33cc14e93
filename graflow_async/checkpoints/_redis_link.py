"""Errors of Redis as those of checkpoints."""

from __future__ import annotations

import errno
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis import exceptions as faults

from .._redis.refusals import NO_CLUSTER, advice_on, is_of_cluster, passes
from ..errors import CheckpointError, CheckpointWriteError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Generator

_FULL = re.compile(r"\bOOM\b|maxmemory")


@contextmanager
def writing(what: str) -> Generator[None]:
    """Turn errors of Redis into ours; `what` says what was to be written.

    Raises:
        CheckpointWriteError: it refused, or does not answer.
        ConfigError: it is part of a cluster.
    """
    try:
        yield
    except (faults.RedisError, OSError) as error:
        if isinstance(error, CheckpointError):
            raise
        _refuse_cluster(error, what)
        raise CheckpointWriteError(_number(error), f"{what}: {_told(error)}") from error


@contextmanager
def reading(what: str) -> Generator[None]:
    """Turn errors of Redis into ours; `what` says what was to be read.

    Raises:
        CheckpointError: it refused, or does not answer.
        ConfigError: it is part of a cluster.
    """
    try:
        yield
    except (faults.RedisError, OSError) as error:
        if isinstance(error, CheckpointError):
            raise
        _refuse_cluster(error, what)
        raise CheckpointError(f"{what}: {_told(error)}") from error


def _refuse_cluster(error: BaseException, what: str) -> None:
    if is_of_cluster(error):
        raise ConfigError(f"{what}: {NO_CLUSTER}") from error


def _told(error: BaseException) -> str:
    advice = advice_on(error)
    if advice is not None:
        return advice
    what = "Redis does not answer" if passes(error) else "Redis refused"
    return f"{what} ({type(error).__name__}: {error})"


def _number(error: BaseException) -> int:
    if isinstance(error, faults.ResponseError):
        return errno.ENOMEM if _FULL.search(str(error)) else errno.EROFS if passes(error) else errno.EIO
    return getattr(error, "errno", None) or errno.EIO
