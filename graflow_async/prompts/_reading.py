"""From the text of one YAML file to its prompts; what is wrong with it is kept beside them, with its line."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from ..config.faults import Path
from ..config.source import Document
from ..errors import PromptConfigurationError
from .prompt import ChatPrompt, TextPrompt

# Here and not where it is used: loading it takes 20 ms, which the first prompt would cost a running loop.
_yaml: Any
try:
    import yaml as _yaml
except ModuleNotFoundError:  # said to those who read a file
    _yaml = None

MOST_VALUES = 100_000
AnyPrompt = TextPrompt | ChatPrompt


class Content:
    """What one file says.

    Attributes:
        prompts: in the order of the file.
        faults: name of a prompt -> what is wrong with it in this file.
        fault: what is wrong with it and belongs to no name; empty if nothing is.
    """

    __slots__ = ("fault", "faults", "prompts")

    def __init__(self, fault: str = "") -> None:
        """Begin without prompts."""
        self.prompts: list[AnyPrompt] = []
        self.faults: dict[str, str] = {}
        self.fault = fault

    def complaints(self) -> list[str]:
        """List everything that is wrong."""
        return [*([self.fault] if self.fault else ()), *self.faults.values()]


class _WrongError(Exception):
    """A part of a file does not have the form of a prompt."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


@lru_cache(maxsize=256)
def read(file: str, name: str, text: str) -> Content:
    """Read the text of a file; the same text is read once, whoever asks.

    Args:
        file: what to call the file in an error.
        name: of the prompt that the file is named after, with its folders.
        text: what it says.

    Raises:
        PromptConfigurationError: PyYAML is not installed.
    """
    document = Document(None, file)
    problem = _load(text, document)
    data = document.data
    if problem is None and not isinstance(data, (list, Mapping)):
        problem = "is empty" if data is None else f"is {_kind(data)}, not a list or a mapping of prompts"
    if problem is not None:
        return Content(f"{file} {problem}")
    content = Content()
    if isinstance(data, list):
        _collect(content, document, name, (), cast("list[Any]", data))
        return content
    folder = name[: name.rfind("/") + 1]
    for key, value in cast("Mapping[Any, Any]", data).items():
        if is_part(key):
            _collect(content, document, f"{folder}{key}", (key,), value)
            continue
        content.fault = f"{document.where((key,)) or file}: {_short(key)} cannot be the name of a prompt{_hint(key)}"
    return content


def _collect(content: Content, document: Document, name: str, path: Path, data: Any) -> None:
    """Add the prompts of one name to what the file says, or what is wrong with them; the list form has no path."""
    try:
        content.prompts += _mapped(name, path, data) if path else _listed(name, data)
    except _WrongError as wrong:
        content.faults[name] = f"{document.where(wrong.path) or document.file}: {wrong}"


def _listed(name: str, rows: list[Any]) -> list[AnyPrompt]:
    """Read the list form."""
    found: dict[tuple[str, int], AnyPrompt] = {}
    for number, entry in enumerate(rows):
        path: Path = (number,)
        row = _mapping(path, entry, "an entry of the list")
        if "label" not in row:
            raise _WrongError(path, f"has no label; it has: {_keys(row)}")
        prompt = _prompt(name, _text((*path, "label"), row["label"], "a label"), path, row, row.get("type"))
        if found.setdefault((prompt.label, prompt.version), prompt) is not prompt:
            raise _WrongError(path, f"label {prompt.label!r} has version {prompt.version} twice")
    return list(found.values())


def _mapped(name: str, path: Path, data: Any) -> list[AnyPrompt]:
    """Read one prompt of the mapping form."""
    data = _mapping(path, data, "a prompt")
    if "labels" not in data:
        raise _WrongError(path, f"has no labels; it has: {_keys(data)}")
    path = (*path, "labels")
    labels = _mapping(path, data["labels"], "labels")
    return [
        _prompt(name, _text((*path, label), label, "a label"), (*path, label), row, data.get("type"))
        for label, row in labels.items()
    ]


def _prompt(name: str, label: str, path: Path, data: Any, kind: Any) -> AnyPrompt:
    """Read what stands under a label."""
    data = _mapping(path, data, f"label {label!r}")
    keys = [key for key in ("template", "content") if key in data]
    if len(keys) != 1:
        has = "both template and content" if keys else "neither template nor content"
        raise _WrongError(path, f"label {label!r} has {has}; it has: {_keys(data)}")
    version: Any = data.get("version", 1)
    if isinstance(version, bool) or not isinstance(version, int):
        raise _WrongError((*path, "version"), f"a version is a whole number, not {_kind(version)}")
    metadata = _mapping((*path, "metadata"), data.get("metadata") or {}, "metadata")
    body, path = data[keys[0]], (*path, keys[0])
    if kind is None:
        kind = "chat" if isinstance(body, list) else "text"
    if kind == "chat":
        messages = _messages(path, body)
        return ChatPrompt(
            name, messages, label=label, version=version, metadata=metadata, created_at=data.get("created_at")
        )
    if kind != "text":
        raise _WrongError(path[:1], f"the type of a prompt is 'text' or 'chat', not {_short(kind)}")
    text = _text(path, body, "the template of a text prompt")
    return TextPrompt(name, text, label=label, version=version, metadata=metadata, created_at=data.get("created_at"))


def _messages(path: Path, data: Any) -> list[Mapping[str, Any]]:
    """Read the messages of a chat."""
    if not isinstance(data, list) or not data:
        raise _WrongError(path, f"a chat prompt is a list of messages, not {_kind(data)}")
    messages: list[Mapping[str, Any]] = []
    for number, row in enumerate(cast("list[Any]", data)):
        message = _mapping((*path, number), row, "a message")
        for key in ("role", "content"):
            if key not in message:
                raise _WrongError((*path, number), f"a message needs {key}; it has: {_keys(message)}")
            _text((*path, number, key), message[key], f"{key} of a message")
        messages.append(message)
    return messages


def is_part(value: Any) -> bool:
    """Say whether something can stand between the slashes of a prompt's name."""
    return (
        isinstance(value, str)
        and bool(value)
        and value.isprintable()
        and "/" not in value
        and "\\" not in value
        and not value.startswith(".")
    )


def _mapping(path: Path, value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _WrongError(path, f"{what} is a mapping, not {_kind(value)}")
    return cast("Mapping[str, Any]", value)


def _text(path: Path, value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise _WrongError(path, f"{what} is a text, not {_kind(value)}{_hint(value)}")
    return value


def _hint(value: Any) -> str:
    """Explain what surprises most people who write YAML."""
    return " (in YAML yes, no, on and off are truth values: put them in quotes)" if isinstance(value, bool) else ""


def _kind(value: Any) -> str:
    """Name what was found, without showing something that may be huge."""
    if isinstance(value, (list, Mapping)):
        kind = "list" if isinstance(value, list) else "mapping"
        return f"a {kind}" if value else f"an empty {kind}"
    return "nothing" if value is None or value == "" else _short(value)


def _short(value: Any) -> str:
    shown: str = f"a {type(cast('object', value)).__name__}" if isinstance(value, (list, Mapping)) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _keys(data: Mapping[str, Any]) -> str:
    return ", ".join(map(str, list(data)[:8])) or "nothing"


# -- YAML -----------------------------------------------------------------------------------------------------


def _load(text: str, document: Document) -> str | None:
    """Put the data of a YAML text into the document; give what is wrong with it.

    The loader written in Python is used although it is slower: the other one crashes on deep nesting.

    Raises:
        PromptConfigurationError: PyYAML is not installed.
    """
    if _yaml is None:
        message = f'reading {document.file} needs PyYAML: pip install "graflow-async[prompts]"'
        raise PromptConfigurationError(message)
    loader: Any = None
    try:
        loader = _yaml.SafeLoader(text)
        document.root = loader.get_single_node()
        if document.root is not None:
            _weigh(document.root, {})
            document.data = loader.construct_document(document.root)
    except _yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}" if mark is not None else ""
        return f"is no plain YAML{place and ' (line ' + place[1:] + ')'}: {getattr(error, 'problem', None) or error}"
    except _WrongError as wrong:
        return f"is refused: {wrong}"
    except RecursionError:
        return "is nested too deeply"
    except (ValueError, TypeError, OverflowError) as error:  # a date that is none, a number that is too long
        return f"is no plain YAML: {error}"
    finally:
        if loader is not None:
            loader.dispose()
    return None


def _weigh(node: Any, weights: dict[int, int]) -> int:
    """Count the values of a node with all aliases written out; refuse too many, rings, and keys that stand twice."""
    weight = weights.get(id(node))
    if weight == 0:
        raise _WrongError((), f"line {node.start_mark.line + 1}: an alias stands inside of what it refers to")
    if weight is not None:
        return weight
    weights[id(node)] = 0
    weight = 1
    keys: set[str] = set()
    value: Any = node.value
    for row in cast("list[Any]", value) if isinstance(value, list) else ():
        pair = cast("tuple[Any, ...]", row) if isinstance(row, tuple) else (row,)
        for part in pair:
            weight += _weigh(part, weights)
        if len(pair) == 2 and isinstance(pair[0].value, str) and pair[0].value != "<<":
            if pair[0].value in keys:
                line = pair[0].start_mark.line + 1
                raise _WrongError((), f"line {line}: key {_short(pair[0].value)} stands twice in one mapping")
            keys.add(pair[0].value)
    if weight > MOST_VALUES:
        raise _WrongError((), f"line {node.start_mark.line + 1}: more than {MOST_VALUES:,} values, aliases written out")
    weights[id(node)] = weight
    return weight
