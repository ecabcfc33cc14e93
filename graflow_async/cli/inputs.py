"""Inputs of a run from the command line: `name=value` pairs, a JSON document, and what parameters make of them."""

from __future__ import annotations

import json
import sys
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from ..task import Task
from ..workflow import Workflow
from .failures import UsageError
from .targets import Runnable, as_workflow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..graph import Graph

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_KINDS = (int, float, bool, str, list, dict)
