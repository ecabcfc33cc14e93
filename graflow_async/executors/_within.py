"""A call in a block, as it travels to a child process."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

from .process import place_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


class Within:
    """Calls a function in a block; it looks like the function to those who name it in messages."""

    def __init__(self, around: Callable[[], AbstractContextManager[Any]], func: Callable[..., Any]) -> None:
        """Keep what makes the block, and what is called in it."""
        functools.update_wrapper(self, func, updated=())
        self._around = around
        self._func = func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make the call."""
        with self._around():
            return self._func(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the function as its place if it has one, as a call without a block does."""
        place = place_of(self._func)
        return _rebuilt, (self._around, None if place else self._func, place)


def _rebuilt(around: Any, func: Any, place: tuple[str, list[str]] | None) -> Within:
    if place is not None:
        module, names = place
        func = importlib.import_module(module)
        for name in names:
            func = getattr(func, name)
    return Within(around, func)
