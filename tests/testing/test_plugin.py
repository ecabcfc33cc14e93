"""The plugin in a pytest of its own: with pytest-asyncio in either mode, and without it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PLUGIN = "graflow_async.testing.plugin"
ALONE = ("-p", PLUGIN)
"""Options for a pytest that loads no plugin by itself: nobody must register this one twice where it is installed."""
ASYNCIO = (*ALONE, "-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function")
LOADS_NOTHING = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

FAILED = {"test_race", "test_death", "test_leak", "test_wrong_marker", "test_unknown_option", "test_no_fixture"}
PASSED = {
    *("test_days", "test_plain_function", "test_seeds_reach_run_sync", "test_all_seeds_were_seen", "test_unmarked"),
    *("test_allowed_leak", "TestMethods::test_method[1]", "TestMethods::test_method[2]"),
}


def run(folder: Path, *options: str) -> str:
    """Let pytest run the user's tests in a folder of their own, and give what it says."""
    tests = folder / "test_marked.py"
    tests.write_text((HERE / "marked.txt").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-rA", "--tb=short", "-p", "no:cacheprovider", *options, tests.name]
    environment = {**os.environ, **LOADS_NOTHING, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


def named(output: str, outcome: str) -> set[str]:
    """Give the tests of an outcome, from pytest's summary."""
    return set(re.findall(rf"^{outcome} test_marked\.py::(\S+)", output, re.MULTILINE))


@pytest.mark.parametrize(
    "options",
    [ALONE, (*ASYNCIO, "--asyncio-mode=strict"), (*ASYNCIO, "--asyncio-mode=auto")],
    ids=["without", "strict", "auto"],
)
def test_marked_tests_do_what_their_marker_says(options: tuple[str, ...], tmp_path: Path):
    """Planted bugs are found and told with what repeats them; the rest passes; wrong markers are refused."""
    output = run(tmp_path, *options)
    assert named(output, "FAILED") == FAILED, output
    assert named(output, "PASSED") == PASSED, output
    race = re.search(r"schedule (\d+) of 200, seed=\1; repeat it with:\npytest '(\S+)' --graflow-seed=\1\n", output)
    assert race is not None, output
    assert race[2] == "test_marked.py::test_race"
    assert f"performances: {int(race[1]) + 1}" in output
    assert re.search(
        r"death after commit \d of \d; repeat it with:\n.*test_death' --graflow-seed=0 --graflow-crash", output
    )
    assert "undisturbed the run gives 21; after a death behind commit" in output
    assert "LeakError: main() ended before these tasks: stray at" in output
    assert "crash is 'every-commit' or None, not 'sometimes'" in output
    assert "the marker graflow takes schedules, crash, leaks, jitter, compare, by name; not times" in output
    assert "crash= needs the fixture `graflow`" in output


def test_the_command_that_is_printed_repeats_the_failure(tmp_path: Path):
    """With the seed of a failure only that schedule is performed, and fails; the number of schedules can be given."""
    first = run(tmp_path, *ALONE, "-k", "test_race")
    command = re.search(r"--graflow-seed=(\d+)", first)
    assert command is not None, first
    again = run(tmp_path, *ALONE, "-k", "test_race", command[0])
    assert "performances: 1" in again, again
    assert f"seed={command[1]}; repeat it with:" in again
    assert named(run(tmp_path, *ALONE, "-k", "test_race", "--graflow-schedules=1"), "PASSED") == {"test_race"}


def test_nothing_of_the_kit_is_imported_before_it_is_asked_for():
    """The plugin is loaded in everybody's pytest: it brings in the package's own front door, and no more."""
    code = (
        "import sys, graflow_async; before = set(sys.modules); import pytest, graflow_async.testing.plugin\n"
        "print(sorted(name for name in set(sys.modules) - before if name.startswith('graflow_async')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['graflow_async.testing', 'graflow_async.testing.plugin']"
