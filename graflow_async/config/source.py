"""Where a configuration comes from: a mapping, a JSON or YAML file; plain data, and the lines where they stand."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, cast

from ..errors import ConfigError
from .faults import Faults, Path, spelled

YAML_SUFFIXES = (".yaml", ".yml")


class Document:
    """A configuration as data.

    Attributes:
        data: what it holds.
        file: the file's path as given; empty for a mapping.
        root: the top node of a YAML document, which knows lines.
    """

    __slots__ = ("data", "file", "root")

    def __init__(self, data: Any, file: str = "", root: Any = None) -> None:
        """Keep the data."""
        self.data = data
        self.file = file
        self.root = root

    @property
    def name(self) -> str:
        """The name of the workflow: as written, else the file's."""
        given = cast("dict[str, Any]", self.data).get("name")
        return given if given is not None else FilePath(self.file).stem or "config"

    @property
    def label(self) -> str:
        """What to call the document in an error."""
        if self.file:
            return self.file
        data: Any = self.data
        given = cast("Mapping[str, Any]", data).get("name") if isinstance(data, Mapping) else None
        return f"configuration {given!r}" if isinstance(given, str) and given else "configuration"

    def where(self, path: Path) -> str:
        """Say where a path leads: `file:line (steps[0].task)`, or only the path where there are no lines."""
        text = spelled(path)
        line = _line_of(self.root, path)
        place = f"{self.file}:{line}" if line else ""
        return f"{place} ({text})" if place and text else place or text


def read(source: Any, faults: Faults) -> Document:
    """Read a configuration; what cannot be read is a fault.

    Raises:
        GraphCompilationError: the file cannot be read, or is not JSON or YAML.
        ConfigError: a YAML file, and PyYAML is not installed.
        TypeError: no mapping and no path.
    """
    if isinstance(source, Mapping):
        return Document(source)
    if not isinstance(source, (str, os.PathLike)):
        message = f"from_config takes a mapping or the path of a file, not {type(source).__name__} {source!r}"
        raise TypeError(message)
    file = os.fspath(cast("str | os.PathLike[str]", source))
    suffix = FilePath(file).suffix.lower()
    document = Document(None, file)
    if suffix != ".json" and suffix not in YAML_SUFFIXES:
        faults.add((), f"a configuration is a .json, .yaml or .yml file, not {suffix or 'a file without suffix'!r}")
        faults.raise_if_any(document)
    try:
        text = FilePath(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        faults.add((), f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        faults.add((), f"is no UTF-8 text (byte {error.start})")
    else:
        try:
            (_read_json if suffix == ".json" else _read_yaml)(text, document, faults)
        except RecursionError:
            faults.add((), "is nested too deeply")
    if document.data is None:
        faults.raise_if_any(document)
    return document


def _read_json(text: str, document: Document, faults: Faults) -> None:
    """Read JSON; a key that stands twice in an object is a fault."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = sorted({repr(name) for name in names if names.count(name) > 1})
            near = f" (the one with {names[0]!r}: {pairs[0][1]!r})" if isinstance(pairs[0][1], (str, int)) else ""
            faults.add((), f"key {', '.join(twice)} stands twice in one object{near}")
        return found

    try:
        document.data = json.loads(text, object_pairs_hook=unique)
    except ValueError as error:
        faults.add((), f"is no JSON: {error}")
    else:
        if document.data is None:
            faults.add((), "is empty")


def _read_yaml(text: str, document: Document, faults: Faults) -> None:
    """Read YAML with the safe loader: plain data, no objects."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        message = f'reading {document.file} needs PyYAML: pip install "graflow-async[config]"'
        raise ConfigError(message) from error
    loader: Any = yaml.SafeLoader(text)
    try:
        document.root = loader.get_single_node()
        if document.root is not None:
            _find_twins(document.root, document.file, faults)
            document.data = loader.construct_document(document.root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        faults.add((), f"is no plain YAML: {problem}" + (f" (line {mark.line + 1})" if mark is not None else ""))
        document.root = document.data = None
    except (ValueError, TypeError) as error:  # a date that is none, a mapping as a key
        faults.add((), f"is no plain YAML: {error}")
        document.root = document.data = None
    else:
        if document.data is None:
            faults.add((), "is empty")
    finally:
        loader.dispose()


def _find_twins(root: Any, file: str, faults: Faults) -> None:
    """Report keys that stand twice in one mapping, of which YAML would keep the last."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        lines: dict[str, int] = {}
        for item in _rows(node):
            if not isinstance(item, tuple):
                stack.append(item)
                continue
            key, value = cast("tuple[Any, Any]", item)
            stack.append(value)
            if isinstance(key.value, str) and key.value != "<<":
                line = key.start_mark.line + 1
                if key.value in lines:
                    both = f"{file}:{lines[key.value]} and {file}:{line}"
                    faults.add((), f"key {key.value!r} stands twice in one mapping ({both})")
                lines[key.value] = line


def _rows(node: Any) -> list[Any]:
    """List the elements of a YAML sequence, or the pairs of a mapping; nothing for a scalar."""
    value: Any = node.value
    return cast("list[Any]", value) if isinstance(value, list) else []


def _line_of(node: Any, path: Path) -> int:
    """Find the line where a path leads, or as far as it can be followed; 0 if lines are not known."""
    if node is None:
        return 0
    line: int = node.start_mark.line
    for part in path:
        found: Any = None
        rows = _rows(node)
        if isinstance(part, int):
            found = rows[part] if part < len(rows) and not isinstance(rows[part], tuple) else None
            line = found.start_mark.line if found is not None else line
        else:
            for item in rows:
                if isinstance(item, tuple):
                    key, value = cast("tuple[Any, Any]", item)
                    if key.value == part:
                        line, found = key.start_mark.line, value
        if found is None:
            break
        node = found
    return line + 1
