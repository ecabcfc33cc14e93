"""Lua scripts: files beside this module, put together from their parts and handed out as commands of a client."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

_FOLDER = "scripts"
_INCLUDE = re.compile(r"^--# include (\w+)$", re.MULTILINE)


@cache
def source(name: str) -> str:
    """Give the text of a script; a line `--# include other` in it stands for the text of another one.

    Raises:
        FileNotFoundError: the package has no script of that name.
    """
    text = (resources.files(__name__.rpartition(".")[0]) / _FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda match: source(match[1]), text)


def script(client: Redis, name: str) -> AsyncScript:
    """Give a script as a command: `await command(keys=[...], args=[...])`.

    It is sent by its hash, and in full if the server does not know it (any more).

    Raises:
        FileNotFoundError: the package has no script of that name.
    """
    return client.register_script(source(name))
