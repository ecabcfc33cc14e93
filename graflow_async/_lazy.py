"""Modules that are loaded when something of them is first used, named at the head of the file that uses them.

Only for what most programs never need and what is slow to import; its types may be imported under TYPE_CHECKING.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module; the first attribute that is asked for loads it."""

    __slots__ = ("_module", "_name")

    def __init__(self, name: str) -> None:
        """Keep the full name of the module."""
        self._name = name
        self._module: Any = None

    def __getattr__(self, attribute: str) -> Any:
        """Give something of the module."""
        if self._module is None:
            self._module = import_module(self._name)
        return getattr(self._module, attribute)


def lazily(name: str) -> Any:
    """Give a module by its full name, to be loaded when it is first used."""
    return LazyModule(name)
