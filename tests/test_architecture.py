"""The shape of the code base, read from every file's tree: layers, budgets, purity, names.

The checks are in tests/aids/architecture.py, where each one also has a test that it can fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.aids import architecture as checks

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[1]
CODE_FOLDERS = (checks.PACKAGE, "tests", "examples", "benchmarks")
OTHER_CODE = {".lua", ".js", ".css", ".html"}
READ_BY_USERS = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".ipynb", ".txt", *OTHER_CODE}
IMPORT_ALL_NAMES = """
import importlib, json, pkgutil, types
import graflow_async as package
from graflow_async import *

def state(name):
    value = getattr(package, name, None)
    return "missing" if value is None else "module" if isinstance(value, types.ModuleType) else "ok"

before = {name: state(name) for name in package.__all__}
starred = [name for name in package.__all__ if name not in globals()]
for info in pkgutil.walk_packages(package.__path__, "graflow_async."):
    if not info.name.endswith("__main__"):
        try:
            importlib.import_module(info.name)
        except ImportError as error:
            if (error.name or "").startswith("graflow_async"):
                raise
after = {name: state(name) for name in package.__all__}
print(json.dumps({"all": list(package.__all__), "before": before, "after": after, "starred": starred}))
"""


@pytest.fixture(scope="module")
def library() -> list[checks.Source]:
    """Give every file of the package."""
    return list(checks.load(ROOT, checks.PACKAGE))


@pytest.fixture(scope="module")
def everywhere() -> dict[str, list[str]]:
    """Give what there is to complain of in all folders, by check: each file is parsed once, and none is kept."""
    found: dict[str, list[str]] = {check.__name__: [] for check in (checks.over_budget, checks.bare_except)}
    for source in checks.load(ROOT, *CODE_FOLDERS):
        for check in (checks.over_budget, checks.bare_except):
            found[check.__name__] += check(source)
    return found


@pytest.fixture(scope="module")
def modules(library: list[checks.Source]) -> set[str]:
    """Give the names of our own modules."""
    return {source.module for source in library}


@pytest.fixture(scope="module")
def front_door() -> checks.Source:
    """Give the package's own file."""
    path = f"{checks.PACKAGE}/__init__.py"
    return checks.Source(path, (ROOT / path).read_text(encoding="utf-8"))


def expect_none(complaints: Iterable[str]) -> None:
    """Fail with every complaint on a line of its own."""
    found = list(complaints)
    if found:
        pytest.fail(f"{len(found)} found:\n" + "\n".join(found), pytrace=False)


def test_the_checks_see_the_package(library: list[checks.Source]) -> None:
    """The suite looks at real files: an empty list would let everything pass."""
    assert {"graflow_async.errors", "graflow_async._version"} <= {source.module for source in library}


def test_budgets_hold_everywhere(everywhere: dict[str, list[str]]) -> None:
    """No file over 400 lines and no function over 60, in the package, the tests, the examples and the benchmarks."""
    expect_none(everywhere["over_budget"])


def test_file_budget_holds_for_scripts_and_pages() -> None:
    """Lua scripts and web pages shipped with the package keep the same file budget."""
    paths = [path for path in (ROOT / checks.PACKAGE).rglob("*") if path.suffix in OTHER_CODE]
    expect_none(
        complaint
        for path in paths
        for complaint in checks.long_file(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    )


def test_layers_point_downwards(library: list[checks.Source], modules: set[str]) -> None:
    """A module imports from lower layers, and inside its own only as the table allows."""
    expect_none(complaint for source in library for complaint in checks.wrong_layer(source, modules))


def test_own_imports_are_in_plain_sight(library: list[checks.Source], modules: set[str]) -> None:
    """Our own modules are imported at the head of a file, never in functions or under TYPE_CHECKING."""
    expect_none(complaint for source in library for complaint in checks.hidden_imports(source, modules))


def test_imports_have_no_cycle(library: list[checks.Source]) -> None:
    """Every module can be understood, and imported, before those that build on it."""
    expect_none(checks.cycles(library))


def test_the_core_is_pure(library: list[checks.Source]) -> None:
    """The machine knows no loop, clock, chance, thread, file or log: only the standard library's pure parts."""
    expect_none(complaint for source in library for complaint in checks.impure(source))


def test_nothing_blocks_or_prints(library: list[checks.Source]) -> None:
    """The library never sleeps on a thread, and prints only where it is asked to."""
    expect_none(complaint for source in library for complaint in checks.blocking_or_printing(source))


def test_no_bare_except(everywhere: dict[str, list[str]]) -> None:
    """Cancellation and exit are never swallowed by a handler without a type, in any folder."""
    expect_none(everywhere["bare_except"])


def test_everything_public_is_documented(library: list[checks.Source]) -> None:
    """Every module, public class and public function says what it is for."""
    expect_none(complaint for source in library for complaint in checks.undocumented(source))


def test_public_names_are_exactly_all(front_door: checks.Source) -> None:
    """`__all__`, what type checkers see and what can be imported are one list, whatever was imported before."""
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_ALL_NAMES], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    report = json.loads(child.stdout.splitlines()[-1])
    names = report["all"]
    assert len(names) == len(set(names)), "a name stands twice in __all__"
    assert {name for name in names if not name.startswith("__")} == checks.mirrored_names(front_door)
    wrong = {name: state for name, state in report["before"].items() if state != "ok"}
    assert not wrong, f"{checks.PACKAGE}/__init__.py: cannot be imported by name: {wrong}"
    shadowed = {name: state for name, state in report["after"].items() if state != "ok"}
    assert not shadowed, f"{checks.PACKAGE}/__init__.py: a module of the same name hides these: {shadowed}"
    assert report["starred"] == [], "a star import leaves these out"


def test_the_top_folder_is_tidy() -> None:
    """A reader finds only what a project needs at the top."""
    expect_none(checks.stray_entries(path.name for path in ROOT.iterdir()))


def test_no_file_names_a_machine() -> None:
    """What users read and run works on their machine: no absolute path of ours is in it."""
    paths = [path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in READ_BY_USERS]
    paths += ROOT.glob("*.md")
    expect_none(
        complaint
        for path in paths
        for complaint in checks.machine_paths(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    )
