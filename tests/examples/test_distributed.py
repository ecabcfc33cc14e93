"""The examples of `05_distributed`: what they print, with a Redis of their own and with a given one."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.examples.census_aids import SHOP, plant, take
from tests.examples.test_examples import HEADING, ROOT, readme_of, run

FOLDER = "05_distributed"
AIDS = "cluster.py"
CENSUS = "census_over_workers.py"
EXACT = ["distributed_workflow.py", "kill_a_worker.py", "redis_worker.py"]
HERE = {"GRAFLOW_REDIS_URL": ""}


def path_of(name: str) -> str:
    return f"examples/{FOLDER}/{name}"


@pytest.mark.parametrize("name", EXACT)
def test_an_example_prints_what_its_readme_shows(name: str, tmp_path: Path) -> None:
    """The README's command prints the README's block, with a Redis of its own, and leaves no file behind."""
    section = readme_of(FOLDER)[name]
    assert section["bash"] == f"python {path_of(name)}\n"
    done = run([sys.executable, path_of(name)], TMPDIR=str(tmp_path), **HERE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == section["text"]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", EXACT)
def test_an_example_uses_the_redis_that_it_is_given(name: str, redis_url: str) -> None:
    """With a URL as argument it prints the same, and so it does from the environment."""
    expected = readme_of(FOLDER)[name]["text"]
    for arguments, url in (([redis_url], ""), ([], redis_url)):
        done = run([sys.executable, path_of(name), *arguments], GRAFLOW_REDIS_URL=url)
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_the_census_over_workers_is_the_census(tmp_path: Path, redis_url: str) -> None:
    """Its report is that of the program in one process, problems of files included; its table has the README's form."""
    folder = plant(tmp_path / "shop", SHOP)
    done = run(
        [sys.executable, path_of(CENSUS), str(folder), "--out", str(tmp_path / "there"), "--redis-url", redis_url]
    )
    assert (done.returncode, done.stderr) == (0, "")
    there = json.loads((tmp_path / "there" / "census.json").read_text(encoding="utf-8"))
    here = take(folder, out="here")
    assert {**there, "seconds": 0} == {**here, "seconds": 0}
    head, *printed = done.stdout.splitlines()
    first, *_, total, seconds = readme_of(FOLDER)[CENSUS]["text"].splitlines()
    assert head.split() == first.split()
    forms = {re.sub(r"[\d,.]+", "N", line) for line in printed}
    assert {re.sub(r"[\d,.]+", "N", line) for line in (total, seconds)} <= forms


def test_the_census_starts_what_it_needs(tmp_path: Path) -> None:
    """The README's command runs as it stands, with a Redis of its own."""
    _, script, *arguments = readme_of(FOLDER)[CENSUS]["bash"].split()
    assert (script, arguments) == (path_of(CENSUS), ["--limit", "200"])
    done = run([sys.executable, script, "--limit", "40"], TMPDIR=str(tmp_path), **HERE)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^40 files, .* 0 problems$", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_the_readme_describes_the_files_that_are_there() -> None:
    """No example is left out of the README, and it shows none that is gone."""
    there = sorted(path.name for path in (ROOT / "examples" / FOLDER).glob("*.py"))
    assert sorted([*readme_of(FOLDER), AIDS]) == there == sorted([*EXACT, CENSUS, AIDS])
    assert HEADING.findall((ROOT / "examples" / FOLDER / "README.md").read_text(encoding="utf-8")) == list(
        readme_of(FOLDER)
    )


@pytest.mark.parametrize("name", [*EXACT, CENSUS, AIDS])
def test_an_example_can_be_imported_without_running(name: str) -> None:
    """Nothing runs and nothing is printed before the main part is called."""
    path = f"sys.path.insert(0, 'examples/{FOLDER}')"
    code = f"import runpy, sys; {path}; runpy.run_path({path_of(name)!r}, run_name='example')"
    done = run([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""


def test_a_program_without_a_redis_says_so() -> None:
    """What is no address ends in an error, not in a hang."""
    done = run([sys.executable, path_of("kill_a_worker.py"), "nonsense"])
    assert done.returncode != 0
    assert "a worker could not start" in done.stderr
