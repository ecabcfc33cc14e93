"""Each architecture check, tried on a small bad source and on a good one beside it."""

from __future__ import annotations

import textwrap

import pytest

from tests.aids import architecture as checks
from tests.aids.architecture import Source

MODULES = {
    "graflow_async",
    *(f"graflow_async.{name}" for name in ("errors", "task", "graph", "context", "channel", "run", "workflow", "draw")),
    *("graflow_async._core", "graflow_async._core.machine", "graflow_async._core.ids"),
    *("graflow_async.stores", "graflow_async.stores.redis", "graflow_async.executors.redis"),
    *("graflow_async._redis", "graflow_async._redis.client"),
}


def source(path: str, text: str) -> Source:
    return Source(f"graflow_async/{path}", textwrap.dedent(text).lstrip())


def only(complaints: object) -> str:
    found = list(complaints)  # type: ignore[call-overload]
    assert len(found) == 1, found
    return found[0]


def function(lines: int, *, head: str = "def f():", docstring: int = 0) -> str:
    doc = ['    """One.', *["    more."] * (docstring - 2), '    """'] if docstring else []
    return "\n".join([head, *doc, *["    x = 1"] * (lines - 1)])


def test_file_budget() -> None:
    """A file of 400 lines passes, one more line fails and names the place."""
    assert not list(checks.over_budget(source("a.py", "x = 1\n" * 400)))
    assert only(checks.over_budget(source("a.py", "x = 1\n" * 401))).startswith("graflow_async/a.py:401: ")


@pytest.mark.parametrize("head", ["def f():", "async def f():"])
def test_function_budget(head: str) -> None:
    """Sixty lines pass however long the docstring is; the sixty-first fails."""
    assert not list(checks.over_budget(source("a.py", function(60, head=head, docstring=9))))
    assert "f has 61 lines" in only(checks.over_budget(source("a.py", function(61, head=head))))
    assert "f has 61 lines" in only(checks.over_budget(source("a.py", function(61, head=head, docstring=3))))


def test_function_budget_counts_decorators_and_inner_functions() -> None:
    """Length cannot be hidden in a decorator or in a nested function."""
    decorated = "@g(\n    1,\n)\n" + function(58)
    assert "f has 61 lines" in only(checks.over_budget(source("a.py", decorated)))
    nested = "def outer():\n" + textwrap.indent(function(60), "    ")
    assert "outer has 61 lines" in only(checks.over_budget(source("a.py", nested)))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("errors.py", "from .task import Task"),
        ("task.py", "from graflow_async.context import Context"),
        ("task.py", "import graflow_async._core.machine"),
        ("_core/machine.py", "from ..channel import Channel"),
        ("channel.py", "from .context import Context"),
        ("executors/redis.py", "from ..stores.redis import RedisStore"),
        ("_redis/client.py", "from ..stores import redis"),
        ("stores/redis.py", "from ..workflow import Workflow"),
        ("run.py", "from . import workflow"),
        ("draw.py", "from .cli import main"),
        ("task.py", "from graflow_async import Task"),
        ("task.py", "from . import anything"),
    ],
)
def test_layers_refuse(path: str, line: str) -> None:
    """An import that points upwards, sideways or at the front door is named with its line."""
    complaint = only(checks.wrong_layer(source(path, f"x = 1\n{line}\n"), MODULES))
    assert complaint.startswith(f"graflow_async/{path}:2: ")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("task.py", "from .errors import GraflowError"),
        ("task.py", "from .graph import Graph"),
        ("graph.py", "from . import task"),
        ("_core/machine.py", "from .ids import make"),
        ("_core/machine.py", "from ..graph import Graph"),
        ("context.py", "from .channel import Channel"),
        ("stores/redis.py", "from .._redis.client import connect"),
        ("stores/__init__.py", "from .redis import RedisStore"),
        ("workflow.py", "from .run import Run"),
        ("workflow.py", "from .draw import mermaid"),
        ("cli/main.py", "from ..stores.redis import RedisStore"),
        ("__init__.py", "from .workflow import Workflow"),
        ("task.py", "import asyncio"),
    ],
)
def test_layers_allow(path: str, line: str) -> None:
    """What points downwards, leftwards or at a shared neighbour is fine."""
    assert not list(checks.wrong_layer(source(path, line), MODULES))


def test_a_module_without_a_layer_is_refused() -> None:
    """A new module must be given a place before it can grow imports."""
    assert "helpers has no layer" in only(checks.wrong_layer(source("helpers.py", "x = 1"), MODULES))


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    from .errors import E\n",
        "async def f():\n    if x:\n        import graflow_async.errors\n",
        "if TYPE_CHECKING:\n    from .errors import E\n",
        "if typing.TYPE_CHECKING:\n    from . import errors\n",
        "import importlib\nm = importlib.import_module('graflow_async.errors')\n",
        "x = 1\nm = __import__('graflow_async.errors')\n",
    ],
)
def test_hidden_imports_are_found(text: str) -> None:
    """Imports in functions, under TYPE_CHECKING and by name are found; the package's own file may have them."""
    assert ".py:" in only(checks.hidden_imports(source("task.py", text), MODULES))
    assert not list(checks.hidden_imports(source("__init__.py", text), MODULES))


def test_plain_and_foreign_imports_are_not_hidden() -> None:
    """Deferred imports of other people's packages are welcome, and an else branch is not TYPE_CHECKING."""
    text = """
        from .errors import E
        if TYPE_CHECKING:
            import anyio
        else:
            from . import graph
        def f():
            import cloudpickle
        """
    assert not list(checks.hidden_imports(source("task.py", text), MODULES))


def test_cycles_are_named_in_order() -> None:
    """A ring of imports is spelled out from start to end; a chain is no ring."""
    a = source("a.py", "from .b import x")
    b = source("b.py", "import os\nfrom graflow_async import c")
    assert not list(checks.cycles([a, b, source("c.py", "")]))
    complaint = only(checks.cycles([a, b, source("c.py", "def f():\n    from . import a")]))
    ring = complaint.split(": ")[-1].removeprefix("imports in a circle: ").split(" -> ")
    assert ring[0] == ring[-1]
    assert "graflow_async.a -> graflow_async.b -> graflow_async.c" in " -> ".join([*ring, *ring[1:]])


@pytest.mark.parametrize(
    "line",
    ["import asyncio", "import anyio.abc", "from time import monotonic", "import os.path", "from redis import Redis"],
)
def test_impurity_is_found(line: str) -> None:
    """The core's forbidden imports are found at any depth; the same line elsewhere is no business of this check."""
    assert ":2: the pure core may not import" in only(checks.impure(source("_core/ids.py", f"def f():\n    {line}")))
    assert not list(checks.impure(source("context.py", line)))
    assert not list(checks.impure(source("_core/ids.py", "import heapq\nfrom ..errors import E\nfrom . import state")))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("run.py", "import time\ndef f():\n    time.sleep(1)"),
        ("draw.py", "import time as clock\nnap = clock.sleep"),
        ("run.py", "from time import monotonic, sleep"),
        ("run.py", "def show():\n    print(1)"),
        ("draw.py", "def f():\n    print(1)"),
        ("stores/redis.py", "print(1)"),
    ],
)
def test_blocking_and_printing_are_found(path: str, text: str) -> None:
    """A thread that sleeps and a library that prints are found, under any spelling."""
    assert f"graflow_async/{path}:" in only(checks.blocking_or_printing(source(path, text)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("draw.py", "def show_info():\n    print(1)"),
        ("drawn.py", "class W:\n    def visualize_dependencies(self):\n        print(1)"),
        ("cli/main.py", "print(1)"),
        ("run.py", "import anyio, time\nasync def f():\n    await anyio.sleep(time.monotonic())"),
    ],
)
def test_what_may_print_and_wait(path: str, text: str) -> None:
    """Functions asked to show something print, and awaiting a timer blocks nobody."""
    assert not list(checks.blocking_or_printing(source(path, text)))


def test_bare_except_is_found() -> None:
    """Only a handler without a type is refused."""
    bad = "try:\n    f()\nexcept:\n    raise\n"
    assert only(checks.bare_except(source("a.py", bad))).startswith("graflow_async/a.py:3: ")
    assert not list(checks.bare_except(source("a.py", bad.replace("except:", "except Exception:"))))


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("a.py", "x = 1", "the module"),
        ("a.py", '"""Doc."""\ndef f(): ...', "f "),
        ("_core/a.py", '"""Doc."""\nif x:\n    async def f(): ...', "f "),
        ("a.py", '"""Doc."""\nclass C:\n    x = 1', "C "),
        ("a.py", '"""Doc."""\nclass C:\n    """Doc."""\n    def m(self): ...', "m "),
    ],
)
def test_missing_docstrings_are_found(path: str, text: str, name: str) -> None:
    """A module, class, function or method without a docstring is named."""
    assert f": {name}" in only(checks.undocumented(source(path, text)))


def test_docstrings_are_not_asked_for_in_vain() -> None:
    """Private names, overloads, setters and methods of private modules need none."""
    text = '''
        """Doc."""
        def _f(): ...
        class C:
            """Doc."""
            def __len__(self): ...
            @x.setter
            def x(self, value): ...
        @overload
        def g(a): ...
        '''
    assert not list(checks.undocumented(source("a.py", text)))
    assert not list(
        checks.undocumented(source("_core/a.py", '"""Doc."""\nclass C:\n    """Doc."""\n    def m(self): ...'))
    )


def test_mirrored_names() -> None:
    """Names shown to type checkers are collected under the name users see."""
    text = """
        from typing import TYPE_CHECKING
        from ._version import __version__
        if TYPE_CHECKING:
            from .task import Task as Task, task
            from graflow_async.run import Run as Handle
        def open_it(): ...
        def __getattr__(name): ...
        """
    assert checks.mirrored_names(source("__init__.py", text)) == {"Task", "task", "Handle", "open_it"}


def test_stray_entries() -> None:
    """An unknown entry is refused; dotfiles and the allowed ones are not."""
    assert only(checks.stray_entries(["setup.py", ".gitignore", "README.md", "tests"])).startswith("setup.py:1: ")


def test_machine_paths() -> None:
    """Absolute paths of one machine are found; look-alikes in addresses and relative paths are not."""
    for place in ("work", "root", "tmp/venv"):
        text = f"fine\nsee /{place}/x\n"
        assert only(checks.machine_paths("README.md", text)).startswith("README.md:2: ")
        assert only(checks.machine_paths("a.py", f'"/{place}"')).startswith("a.py:1: ")
    assert not list(checks.machine_paths("a.py", "GET /workflows, https://a.example/work, ./root/x, src/root, /worker"))
