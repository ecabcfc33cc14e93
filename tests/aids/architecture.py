"""The checks behind test_architecture.py: pure functions from source text to complaints.

A complaint is one line, `file:line: what is wrong and what to do`. No function here touches the disk except `load`.
"""

from __future__ import annotations

import ast
import re
import sys
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PACKAGE = "graflow_async"
FILE_BUDGET = 400
FUNCTION_BUDGET = 60

Order = Literal["leftwards", "free", "apart"]
Place = Literal["module", "function", "TYPE_CHECKING"]
AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef
Definition = AnyFunction | ast.ClassDef
AnyImport = ast.Import | ast.ImportFrom


class Layer(NamedTuple):
    """One row of the table: who lives there, and who may import whom inside it."""

    order: Order
    families: tuple[str, ...]


LAYERS = (
    Layer(
        "leftwards",
        ("_version", "_holders", "_lazy", "_unread", "errors", "feedback_errors", "worker_errors", "redis_errors"),
    ),
    Layer(
        "free",
        (
            *("current", "definition", "plan", "task", "compose", "policy", "route", "graph", "builder"),
            *("task_decorator", "store", "typed", "events", "story", "critical_path", "explanation", "jobs"),
            *("protocols", "codec", "frames", "checkpointer", "fingerprint"),
            *("feedback", "broker", "answers", "drafts", "inbox", "keywords", "options"),
        ),
    ),
    Layer("free", ("_core",)),
    Layer("leftwards", ("channel", "_runtime", "context")),
    Layer("apart", ("executors", "stores", "checkpoints", "brokers", "_redis")),
    Layer(
        "leftwards",
        (
            "draw",
            "drawn",
            "handlers",
            "telemetry",
            "brokering",
            "coordinator",
            "distribution",
            "places",
            "factories",
            "services",
            "keeping",
            "progress",
            "watching",
            "run",
            "resume",
            "forking",
            "recovery",
            "config",
            "workflow",
            "recorded_story",
            "manager",
            "feedback_manager",
            "flow",
            "worker",
            "ui",
            "cli",
            "__main__",
            "testing",
            "prompts",
        ),
    ),
)
# Pairs (importer, imported) that a layer's order alone would refuse.
ALSO_ALLOWED = {
    # The connection, keys and scripts exist to be shared by the adapters that speak Redis.
    *((family, "_redis") for family in ("executors", "stores", "checkpoints", "brokers")),
}

PURE = "_core"
IMPURE_MODULES = frozenset({"asyncio", "logging", "time", "random", "threading", "os", "io", "uuid"})
MAY_PRINT = {"draw.py", "drawn.py"}
PRINTING_NAME = re.compile(r"_?(draw|show|visualize)")
TOP_LEVEL = frozenset(
    {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", PACKAGE, "tests", "benchmarks", "examples"}
)
# Spelled in pieces so that this file does not contain what it looks for.
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root|tmp/" + r"venv)(?![\w.-])")


class Source:
    """A Python file of the project: its path from the root (with slashes), its text and its tree."""

    def __init__(self, path: str, text: str) -> None:
        """Parse `text`; a file that does not parse is the interpreter's complaint, not ours."""
        self.path = path
        self.text = text
        self.tree = ast.parse(text, path)
        self.is_package = path.endswith("/__init__.py")
        self.module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.is_root = self.module == PACKAGE
        self.family = "" if self.is_root else self.module.split(".")[1] if "." in self.module else self.module

    def at(self, line: int, message: str) -> str:
        """Give one complaint."""
        return f"{self.path}:{line}: {message}"


class OwnImport(NamedTuple):
    """One of our own modules, as imported somewhere in a source."""

    line: int
    target: str
    place: Place


def load(root: Path, *folders: str) -> Iterator[Source]:
    """Read every Python file below `folders`, one after the other."""
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
        yield Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield everything that is made of statements, but no expression: those are most of a tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for field in ("handlers", "cases", "finalbody", "orelse", "body"):
            parts = getattr(node, field, None)
            if isinstance(parts, list):
                waiting += reversed(parts)


def functions(tree: ast.AST) -> Iterator[AnyFunction]:
    """Yield every function and method, nested ones included."""
    return (node for node in _statements(tree) if isinstance(node, AnyFunction))


def over_budget(source: Source) -> Iterator[str]:
    """Find files and functions that are too long; decorators count, a function's own docstring does not."""
    yield from long_file(source.path, source.text)
    for node in functions(source.tree):
        first = min((node.lineno, *(decorator.lineno for decorator in node.decorator_list)))
        length = (node.end_lineno or node.lineno) - first + 1
        if ast.get_docstring(node) is not None:
            docstring = node.body[0]
            length -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
        if length > FUNCTION_BUDGET:
            yield source.at(first, f"{node.name} has {length} lines, the budget is {FUNCTION_BUDGET}: split it")


def long_file(path: str, text: str) -> Iterator[str]:
    """Find a file of any kind that is too long."""
    length = len(text.splitlines())
    if length > FILE_BUDGET:
        yield f"{path}:{FILE_BUDGET + 1}: the file has {length} lines, the budget is {FILE_BUDGET}: split it"


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _imports(node: ast.AST, place: Place = "module") -> Iterator[tuple[AnyImport, Place]]:
    """Yield every import statement with the place where it stands."""
    if isinstance(node, AnyImport):
        yield node, place
    if isinstance(node, AnyFunction):
        place = "function"
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue  # there is no import in an expression
        guarded = isinstance(node, ast.If) and _is_type_checking(node) and child in node.body
        yield from _imports(child, "TYPE_CHECKING" if guarded else place)


def _imported_names(source: Source, node: AnyImport) -> Iterator[tuple[str, str | None]]:
    """Yield (absolute module, name taken from it or None) for an import statement."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, None) for alias in node.names)
    else:
        base = node.module or ""
        if node.level:
            here = source.module.split(".")
            parent = here[: len(here) - node.level + source.is_package]
            base = ".".join([*parent, *([node.module] if node.module else [])])
        yield from ((base, alias.name) for alias in node.names)


def own_imports(source: Source, modules: Iterable[str]) -> Iterator[OwnImport]:
    """Yield every import of one of our own modules; `from package import module` counts for the module."""
    known = frozenset(modules)
    for node, place in _imports(source.tree):
        targets = {
            f"{base}.{name}" if name is not None and f"{base}.{name}" in known else base: None
            for base, name in _imported_names(source, node)
        }
        for target in targets:
            if target.split(".")[0] == PACKAGE and target != source.module:
                yield OwnImport(node.lineno, target, place)
    for line, target in _lazy_modules(source):
        yield OwnImport(line, target, "module")


def _lazy_modules(source: Source) -> Iterator[tuple[int, str]]:
    """Yield the modules of our own that a file names with `lazily(...)`."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).lstrip("_") == "lazily":
            name = str(ast.literal_eval(node.args[0]))
            if name.partition(".")[0] == PACKAGE:
                yield node.lineno, name


def _family(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _layer_of(family: str) -> int | None:
    return next((number for number, layer in enumerate(LAYERS) if family in layer.families), None)


def _may_import(importer: str, imported: str) -> bool:
    above, below = _layer_of(importer), _layer_of(imported)
    if importer == imported or (importer, imported) in ALSO_ALLOWED:
        return True
    if above is None or below is None or above != below:
        return above is not None and below is not None and below < above
    order, families = LAYERS[above]
    return order == "free" or (order == "leftwards" and families.index(imported) < families.index(importer))


def wrong_layer(source: Source, modules: Iterable[str]) -> Iterator[str]:
    """Find imports that point upwards, or sideways where the layer forbids it."""
    if source.is_root:
        return
    if _layer_of(source.family) is None:
        yield source.at(1, f"{source.family} has no layer: give it a place in LAYERS")
        return
    for line, target, _ in own_imports(source, modules):
        family = _family(target)
        if not family:
            yield source.at(line, f"imports {PACKAGE} itself, which is for users: import the module that has the name")
        elif not _may_import(source.family, family):
            above, below = _layer_of(source.family), _layer_of(family)
            yield source.at(
                line, f"L{above} {source.family} may not import L{below} {family}: point downwards, leftwards"
            )


def hidden_imports(source: Source, modules: Iterable[str]) -> Iterator[str]:
    """Find imports of our own modules that a reader of the file's head would not see."""
    if source.is_root:
        return
    lazy = {target for _, target in _lazy_modules(source)}
    for line, target, place in own_imports(source, modules):
        if target in lazy and place == "TYPE_CHECKING":
            continue  # the types of a module that is loaded when it is used
        if place == "function":
            yield source.at(line, f"imports {target} inside a function: move it to the head of the file")
        elif place == "TYPE_CHECKING":
            yield source.at(line, f"imports {target} under TYPE_CHECKING: import it plainly or define it lower down")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and str(name.value).startswith((PACKAGE, ".")):
                yield source.at(node.lineno, f"imports {name.value} by its name: write an import statement")


def cycles(sources: Iterable[Source]) -> Iterator[str]:
    """Find one ring of modules that import each other, named from start to end."""
    by_module = {source.module: source for source in sources}
    lines = {
        (name, found.target): found.line
        for name, source in by_module.items()
        for found in own_imports(source, by_module)
    }
    graph: dict[str, set[str]] = {name: set() for name in by_module}
    for importer, imported in lines:
        graph[importer].add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        ring: list[str] = error.args[1][::-1]
        start = by_module[ring[0]]
        yield start.at(lines[ring[0], ring[1]], f"imports in a circle: {' -> '.join(ring)}")


def impure(source: Source) -> Iterator[str]:
    """Find imports in the pure core that bring in input, output, time, chance or somebody else's package."""
    if source.family != PURE:
        return
    for node, _ in _imports(source.tree):
        for base, _name in _imported_names(source, node):
            top = base.split(".")[0]
            if top != PACKAGE and (top in IMPURE_MODULES or top not in sys.stdlib_module_names):
                yield source.at(node.lineno, f"the pure core may not import {base}")


def _may_print(source: Source, function: str) -> bool:
    return source.family == "cli" or (
        source.path.split("/")[-1] in MAY_PRINT and PRINTING_NAME.match(function) is not None
    )


def _calls(node: ast.AST, function: str = "") -> Iterator[tuple[ast.Call, str]]:
    """Yield every call with the name of the innermost named function around it."""
    if isinstance(node, AnyFunction):
        function = node.name
    if isinstance(node, ast.Call):
        yield node, function
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, function)


def blocking_or_printing(source: Source) -> Iterator[str]:
    """Find time.sleep anywhere, and print outside the functions that exist to print."""
    for call, function in _calls(source.tree):
        name = ast.unparse(call.func)
        if name == "print" and not _may_print(source, function):
            yield source.at(call.lineno, "calls print: use logging, or return the text")
    clocks: set[str] = set()
    for node, _ in _imports(source.tree):
        if isinstance(node, ast.Import):
            clocks |= {alias.asname or alias.name for alias in node.names if alias.name == "time"}
        elif node.module == "time" and any(alias.name == "sleep" for alias in node.names):
            yield source.at(node.lineno, "imports time.sleep: await a timer or an event")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr == "sleep" and ast.unparse(node.value) in clocks:
            yield source.at(node.lineno, "uses time.sleep: await a timer or an event")


def bare_except(source: Source) -> Iterator[str]:
    """Find `except:` without a type."""
    for node in _statements(source.tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield source.at(node.lineno, "bare except: name what is expected")


def _needs_no_docstring(node: AnyFunction) -> bool:
    names = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list}
    return bool(names & {"overload", "override", "setter", "deleter"})


def undocumented(source: Source) -> Iterator[str]:
    """Find modules, public classes, public functions and (in public modules) public methods without a docstring."""
    if ast.get_docstring(source.tree) is None:
        yield source.at(1, "the module has no docstring: say what may live here")
    private = any(part.startswith("_") for part in source.module.split(".")[1:])
    stack: list[ast.stmt] = list(source.tree.body)
    while stack:
        node = stack.pop(0)
        if isinstance(node, (ast.If, ast.Try)):
            stack[:0] = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        exempt = isinstance(node, AnyFunction) and _needs_no_docstring(node)
        if ast.get_docstring(node) is None and not exempt:
            yield source.at(node.lineno, f"{node.name} is public and has no docstring")
        if isinstance(node, ast.ClassDef) and not private:
            stack[:0] = node.body


def mirrored_names(root_init: Source) -> set[str]:
    """Give the public names that the package's own file shows to a reader: mirrored, imported or defined there."""
    names = {node.name for node in root_init.tree.body if isinstance(node, Definition)}
    for node, place in _imports(root_init.tree):
        if isinstance(node, ast.ImportFrom) and place != "function":
            own = node.level > 0 or (node.module or "").split(".")[0] == PACKAGE
            names |= {alias.asname or alias.name for alias in node.names if own}
    return {name for name in names if not name.startswith("_")}


def stray_entries(names: Iterable[str]) -> Iterator[str]:
    """Find entries of the project's top folder that have no business there; dotfiles are free."""
    for name in sorted(names):
        if name not in TOP_LEVEL and not name.startswith("."):
            yield f"{name}:1: is not one of the allowed top-level entries: {', '.join(sorted(TOP_LEVEL))}"


def machine_paths(path: str, text: str) -> Iterator[str]:
    """Find absolute paths that exist on one machine only."""
    for number, line in enumerate(text.splitlines(), 1):
        found = MACHINE_PATH.search(line)
        if found is not None:
            yield f"{path}:{number}: contains the machine path {found.group()}: use a relative or temporary one"
