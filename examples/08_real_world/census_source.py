"""What one tree and one file have to say: finding Python files and reading facts from their source.

Plain blocking functions that know nothing of workflows; `code_census.py` decides where and when they run.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import stat
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

MAX_BYTES = 16 * 1024 * 1024
SKIPPED_FOLDERS = frozenset({"__pycache__", "dist-packages", "node_modules", "site-packages"})
BODIES = ("body", "orelse", "finalbody", "handlers", "cases")


@dataclass(frozen=True, slots=True)
class Problem:
    """A file or folder that could not be counted, and why."""

    path: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Tree:
    """What a walk found: paths relative to the folder, sorted."""

    files: list[str]
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, or names imported from one; `level` counts the leading dots."""

    module: str
    names: tuple[str, ...] = ()
    level: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What was counted in one file; `imports` counts statements, `imported` lists what they ask for."""

    lines: int
    functions: int
    classes: int
    imports: int
    imported: tuple[Import, ...]


class SourceError(Exception):
    """A file's content is no Python source that this interpreter can read."""

    def __init__(self, kind: str, detail: str) -> None:
        """Keep both as `args` too, so that the exception survives the way back from a child process."""
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


def find_files(folder: Path, limit: int | None = None) -> Tree:
    """Walk a folder for `.py` files; links to folders are not followed, so loops of them end nowhere.

    Args:
        folder: where to start.
        limit: keep only so many files, the first ones in sorted order.
    """
    files: list[str] = []
    problems: list[Problem] = []

    def keep_error(error: OSError) -> None:
        path = Path(error.filename).relative_to(folder)
        problems.append(Problem(str(path), "unreadable", error.strerror or str(error)))

    for current, folders, names in os.walk(folder, onerror=keep_error):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".")]
        for name in names:
            if name.endswith(".py"):
                path = Path(current, name)
                inside = str(path.relative_to(folder))
                if _can_be_read(path):
                    files.append(inside)
                else:
                    problems.append(Problem(inside, "no file", "a pipe, a socket or a device"))
    return Tree(sorted(files)[:limit], problems)


def _can_be_read(path: Path) -> bool:
    """Tell files from pipes, for which a reader would wait for ever; broken links are left for the reader to report."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def read_facts(source: bytes) -> Facts:
    """Count what stands in the source of one file.

    Raises:
        SourceError: it is too large, binary, not text in its declared encoding, or not Python.
    """
    if len(source) > MAX_BYTES:
        raise SourceError("too large", f"more than {MAX_BYTES // 1024**2} MiB")
    if b"\0" in source:
        raise SourceError("binary", f"a NUL byte at offset {source.index(0)}")
    try:
        text = importlib.util.decode_source(source)
    except (UnicodeError, LookupError, SyntaxError) as error:
        raise SourceError("undecodable", str(error)) from None
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise SourceError("unparsable", f"line {error.lineno}: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise SourceError("unparsable", "nested too deeply") from None
    except ValueError as error:
        raise SourceError("unparsable", str(error)) from None
    return _count(tree, lines=text.count("\n") + (not text.endswith("\n") if text else 0))


def read_facts_apart(source: bytes) -> Facts:
    """Do the same in a child process, which runs one call at a time and so may silence the compiler by itself.

    Raises:
        SourceError: as `read_facts`.
    """
    with silent_compiler():
        return read_facts(source)


@contextmanager
def silent_compiler() -> Generator[None]:
    """Ignore what the compiler finds odd in other people's code; filters belong to the process, so use it once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _count(tree: ast.Module, *, lines: int) -> Facts:
    functions = classes = imports = 0
    imported: list[Import] = []
    for node in _statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions += 1
        elif isinstance(node, ast.ClassDef):
            classes += 1
        elif isinstance(node, ast.Import):
            imports += 1
            imported += [Import(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports += 1
            imported.append(Import(node.module or "", tuple(alias.name for alias in node.names), node.level))
    return Facts(lines, functions, classes, imports, tuple(imported))


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Go through all statements at any depth; expressions hold nothing that is counted here."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for field in BODIES:
            waiting += getattr(node, field, ())
