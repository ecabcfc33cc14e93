"""The examples of `13_checkpoints` and the census that goes on: what they print, and where they keep their files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.census_aids import SHOP, STDLIB, code_census, interrupted, plant, take
from tests.examples.census_aids import run as run_census
from tests.examples.test_examples import ROOT, readme_of, run

FOLDER = "13_checkpoints"
CENSUS = "kill_and_resume_census.py"
EXACT = ["basic_checkpoint.py", "state_machine.py", "periodic_checkpoints.py", "fault_recovery.py"]
SLOW_DISK = "from now on a thread writes"


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Give what stands on stderr, but for the remark that a journal makes about a slow disk."""
    return [line for line in done.stderr.splitlines() if SLOW_DISK not in line]


def path_of(name: str) -> str:
    return f"examples/{FOLDER}/{name}"


@pytest.mark.parametrize("name", EXACT)
def test_an_example_prints_what_its_readme_shows(name: str, tmp_path: Path) -> None:
    """The README's command prints the README's block, and no file is left anywhere but in the temporary directory."""
    section = readme_of(FOLDER)[name]
    assert section["bash"] == f"python {path_of(name)}\n"
    done = run([sys.executable, path_of(name)], TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == section["text"]
    assert complaints(done) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", EXACT)
def test_an_example_keeps_its_files_where_it_is_told(name: str, tmp_path: Path) -> None:
    """With a directory as argument the output is the same, and the journals are there to be looked at."""
    done = run([sys.executable, path_of(name), str(tmp_path / "kept")])
    assert done.returncode == 0, done.stderr
    assert done.stdout == readme_of(FOLDER)[name]["text"]
    assert list((tmp_path / "kept").rglob("journal"))


def test_the_readme_describes_the_files_that_are_there() -> None:
    """No example is left out of the README, and it shows none that is gone."""
    there = sorted(path.name for path in (ROOT / "examples" / FOLDER).glob("*.py"))
    assert sorted(readme_of(FOLDER)) == there == sorted([*EXACT, CENSUS])


@pytest.mark.parametrize("name", [*EXACT, CENSUS])
def test_an_example_can_be_imported_without_running(name: str) -> None:
    """Nothing runs and nothing is printed before the main part is called."""
    done = run([sys.executable, "-c", f"import runpy; runpy.run_path({path_of(name)!r}, run_name='example')"])
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""


# The census that is to be killed half way does not get further than to 60 %, however late whoever kills it comes.
STANDS_STILL = """
import sys, threading
if "--checkpoint-dir" in sys.orig_argv and "--resume" not in sys.orig_argv:
    write = sys.stderr.write
    sys.stderr.write = lambda text: threading.Event().wait() if text.startswith("scanned 60 %") else write(text)
"""
WITH = """
import os, runpy
os.environ["PYTHONPATH"] = {folders!r}
runpy.run_path({path!r}, run_name="__main__")
"""


def same_words(text: str) -> list[str]:
    """Leave the numbers out of a text."""
    return re.sub(r"[\d,]+", "N", text).splitlines()


def test_a_killed_census_goes_on_and_reports_the_same(tmp_path: Path) -> None:
    """SIGKILL half way: half of the files are not analysed again, and the report equals that of an undisturbed run."""
    sources = {
        f"m{number:03}.py": path.read_bytes() for number, path in enumerate(sorted(STDLIB.glob("[c-t]*.py"))[:100])
    }
    folder = plant(tmp_path / "tree", dict(sources))
    (tmp_path / "sitecustomize.py").write_text(STANDS_STILL, encoding="utf-8")
    with_it = WITH.format(folders=f"{tmp_path}{os.pathsep}{ROOT}", path=path_of(CENSUS))
    done = run([sys.executable, "-c", with_it, str(tmp_path / "kept"), "--sources", str(folder)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert same_words(done.stdout) == same_words(readme_of(FOLDER)[CENSUS]["text"])
    found = re.search(r"resumed: (\d+) of (\d+) files", done.stdout)
    assert found is not None
    kept, files = map(int, found.groups())
    assert files == len(sources)
    assert files // 2 - 1 <= kept < files
    assert done.stdout.endswith("the report is the same as the undisturbed one: True\n")
    assert (tmp_path / "kept" / "killed" / "census.svg").read_bytes() == (
        tmp_path / "kept" / "undisturbed" / "census.svg"
    ).read_bytes()


def test_a_census_with_nothing_to_kill_says_so(tmp_path: Path) -> None:
    """A folder that cannot be counted ends the example with the census' own words and code."""
    done = run([sys.executable, path_of(CENSUS), "--sources", str(tmp_path / "nowhere")])
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"code_census: {tmp_path / 'nowhere'}: No such file or directory"]


# -- the census itself ----------------------------------------------------------------------------------------


def test_a_census_with_a_journal_reports_the_same(tmp_path: Path) -> None:
    """Recording changes nothing in the report, also where parsing happens in child processes."""
    folder = plant(tmp_path / "tree", SHOP)
    plain, journaled, apart = (
        take(folder, *more, out=name)
        for name, more in (
            ("plain", []),
            ("journaled", ["--checkpoint-dir", str(tmp_path / "a")]),
            ("apart", ["--checkpoint-dir", str(tmp_path / "b"), "--processes"]),
        )
    )
    assert plain | {"seconds": 0} == journaled | {"seconds": 0} == apart | {"seconds": 0}


def test_an_interrupted_census_goes_on(tmp_path: Path) -> None:
    """Ctrl-C in the middle is a clean end that `--resume` goes on from, with the folder and settings of before."""
    place = ("--out", tmp_path / "out", "--checkpoint-dir", tmp_path / "runs")
    assert interrupted("scanned 30 %", STDLIB, "--limit", "200", *place).returncode == 130
    done = run_census("--resume", *place)
    assert done.returncode == 0, done.stderr
    assert "200 files" in done.stdout
    kept = re.search(r"resumed: (\d+) of 200 files", done.stderr)
    assert kept is not None
    assert 59 <= int(kept[1]) < 200
    told = json.loads((tmp_path / "out" / "census.json").read_text(encoding="utf-8"))
    expected = take(STDLIB, "--limit", "200", out=str(tmp_path / "undisturbed"))
    assert told | {"seconds": 0} == expected | {"seconds": 0}


def test_a_census_that_could_not_write_goes_on_with_the_writing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed run is gone on with as well: no file is analysed again when only the report was missing."""
    folder = plant(tmp_path / "tree", SHOP)
    (tmp_path / "out" / "census.svg").mkdir(parents=True)
    arguments = ["--out", str(tmp_path / "out"), "--checkpoint-dir", str(tmp_path / "runs")]
    assert code_census.main([str(folder), *arguments]) == 1
    (tmp_path / "out" / "census.svg").rmdir()
    capsys.readouterr()
    assert code_census.main(["--resume", *arguments]) == 0
    assert "resumed: 8 of 8 files were recorded and not analysed again" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"census.svg", "census.json"}


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    """`--resume` alone is a usage error; without a stopped census in the directory one line says so."""
    alone = run_census("--resume")
    assert alone.returncode == 2
    assert "--resume needs --checkpoint-dir" in alone.stderr
    none = run_census("--resume", "--checkpoint-dir", tmp_path / "runs", "--out", tmp_path / "out")
    assert (none.returncode, none.stdout) == (1, "")
    assert len(none.stderr.splitlines()) == 1
    assert "no run of workflow 'code_census' to go on with" in none.stderr
