"""What a shell offers when Tab is pressed: recorded runs, open questions, and what can be run; no code is imported."""

from __future__ import annotations

import ast
import os
import sys
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import typer  # noqa: TC002  # typer itself reads the annotations

from ..feedback import FeedbackState
from ..options import DEFAULT_DIRECTORY, is_url
from .failures import COMMAND_NAME
from .place import at_inbox

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

VARIABLE = f"_{COMMAND_NAME.replace('-', '_').upper()}_COMPLETE"
_BREAKS = (":", "=")  # where bash begins a new word within what is one word for us
_MOST = 1_000  # runs that are looked at
_MOST_MODULES = 50  # that are read
_MAKERS = {"task", "flow", "workflow", "Workflow"}


def run_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Offer the runs that are recorded in the directory of the command line."""
    directory = _directory(context)
    if is_url(directory):
        return []
    found: list[str] = []
    try:
        with os.scandir(directory) as entries:
            for _, entry in zip(range(_MOST), entries, strict=False):
                if "%~" not in entry.name and Path(entry.path, "journal").exists():
                    found.append(unquote(entry.name))
    except OSError:
        return []
    return sorted(name for name in found if name.startswith(incomplete))


def questions(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the open questions of the runs in the directory of the command line."""
    directory = _directory(context)
    if is_url(directory) or not Path(directory).is_dir():
        return []
    try:
        records = at_inbox(directory, lambda inbox: inbox.broker.find(run_id=None, state=FeedbackState.PENDING))
    except Exception:  # noqa: BLE001  # whatever is wrong there, Tab is not the key to say so
        return []
    requests = [record.request for record in records]
    return [(r.request_id, " ".join(r.prompt.split())) for r in requests if r.request_id.startswith(incomplete)]


def targets(incomplete: str) -> list[str]:
    """Offer what modules of this folder have that looks as if it could be run."""
    place, colon, _ = incomplete.rpartition(":")
    if colon:
        path = Path(place if place.endswith(".py") else f"{place.replace('.', os.sep)}.py")
        return [f"{place}:{name}" for name in _names_in(path)]
    if os.sep in incomplete:
        return []  # files are what the shell offers by itself
    modules = sorted(path for path in Path().glob("*.py") if path.stem.startswith(incomplete))
    return [f"{path.stem}:{name}" for path in modules[:_MOST_MODULES] for name in _names_in(path)]


def _directory(context: typer.Context) -> str:
    given: Any = context.params.get("checkpoint_dir")
    return given if isinstance(given, str) else DEFAULT_DIRECTORY


def _names_in(path: Path) -> Iterator[str]:
    """Read names of workflows, tasks and flows off the source of a module."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if any(_makes(decorator) for decorator in node.decorator_list):
                yield node.name
        elif isinstance(node, ast.Assign) and _makes(node.value):
            yield from (name.id for name in node.targets if isinstance(name, ast.Name))
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                if _makes(item.context_expr) and isinstance(item.optional_vars, ast.Name):
                    yield item.optional_vars.id


def _makes(node: ast.expr) -> bool:
    """Say whether an expression names what makes tasks, flows or workflows, or calls it."""
    if isinstance(node, ast.Call):
        node = node.func
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in _MAKERS


# -- what bash does to words ----------------------------------------------------------------------------------


@contextmanager
def whole_words() -> Generator[None]:
    """Put words together again that bash has split at `:` and `=`, and answer with what stands behind the split."""
    if os.environ.get(VARIABLE) != "complete_bash":
        yield
        return
    words = os.environ.get("COMP_WORDS", "").split("\n")
    at = os.environ.get("COMP_CWORD", "0")
    known, front = _joined(words, int(at) if at.isdecimal() else 0)
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(known), str(len(known) - 1)
    answers = StringIO()
    try:
        with redirect_stdout(answers):
            yield
    finally:
        for line in answers.getvalue().splitlines():
            sys.stdout.write(f"{line.removeprefix(front)}\n")
        sys.stdout.flush()


def _joined(words: list[str], at: int) -> tuple[list[str], str]:
    """Give the words up to the one that is being written, and what bash takes for words before that one."""
    known: list[str] = []
    is_open = False
    for word in words[: at + 1]:
        if known and (is_open or word in _BREAKS):
            known[-1] += word
        else:
            known.append(word)
        is_open = word in _BREAKS
    last = known[-1] if known else ""
    cut = max(last.rfind(mark) for mark in _BREAKS) + 1
    return known, last[:cut]
