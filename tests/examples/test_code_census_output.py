"""The code census as a program: its chart, its progress, hostile names, errors, interruption."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.examples.census_aids import (
    SHOP,
    STDLIB,
    census_progress,
    census_report,
    code_census,
    command,
    environment,
    interrupted,
    plant,
    run,
    take,
)

SVG = "{http://www.w3.org/2000/svg}"


def test_an_empty_folder_gives_an_empty_report(tmp_path: Path) -> None:
    """Nothing to count is no error: zeros, no modules, and a chart that says so."""
    (tmp_path / "tree").mkdir()
    told = take(tmp_path / "tree")
    assert set(told["totals"].values()) == {0}
    assert (told["modules"], told["problems"]) == ([], [])
    assert told["ranking"] == {"turns": 1, "change": 0.0, "converged": True}
    svg = ET.parse(tmp_path / "out" / "census.svg").getroot()  # noqa: S314  # written by the program under test
    assert "no modules" in [element.text for element in svg.iter(f"{SVG}text")]


@pytest.mark.parametrize("folder", ["missing", "file.py", "new\nline"])
def test_no_folder_is_one_clear_line_and_exit_code_2(tmp_path: Path, folder: str) -> None:
    """A folder that is not there, or is none, is said in one line, and nothing is written."""
    plant(tmp_path, {"file.py": "x = 1\n"})
    done = run(tmp_path / folder, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"code_census: {tmp_path}/")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--concurrency", "0"], ["--limit", "-1"], ["--limit", "many"], ["--fast"]])
def test_wrong_arguments_are_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The command line refuses what makes no sense before anything starts."""
    with pytest.raises(SystemExit) as ended:
        code_census.main(arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_a_report_that_cannot_be_written_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    """A failing last step is said without a traceback, and leaves no half-written file."""
    folder = plant(tmp_path / "tree", {"a.py": "x = 1\n"})
    (tmp_path / "out" / "census.svg").mkdir(parents=True)
    done = run(folder, "--out", tmp_path / "out", "--quiet")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Is a directory" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"census.svg", "census.json"}


HOSTILE = [
    "<script>alert('x')</script>.py".replace("/", "_"),
    "with space & \"quotes\" 'n' ]]> all.py",
    "日本語のとても長い名前.py",
    "e\u0301clair 🐍.py",
    "bell\x07 escape\x1b[31m.py",
    os.fsdecode(b"not \xff text.py"),
    "x" * 200 + ".py",
    "--help.py",
]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """Whatever a file is called: the report is JSON, the chart has no foreign elements, the terminal is safe."""
    folder = tmp_path / "<b>tree & co"
    folder.mkdir()
    for name in HOSTILE:
        (folder / name).write_text("x = 1\n")
    (folder / "bad\x1b]0;title\x07.py").write_text("def (\n")
    done = run(folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout + done.stderr)
    told = json.loads((tmp_path / "out" / "census.json").read_text(encoding="utf-8"))
    assert sorted(row["path"] for row in told["modules"]) == sorted(census_report.printable(name) for name in HOSTILE)
    text = (tmp_path / "out" / "census.svg").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in text
    root = ET.fromstring(text)  # noqa: S314  # written by the program under test
    assert {element.tag for element in root.iter()} == {SVG + tag for tag in ("svg", "g", "rect", "text", "title")}
    assert root[0].text == f"Most important modules of {folder}"


def test_a_terminal_that_knows_few_letters_does_not_end_the_run(tmp_path: Path) -> None:
    """A name that the encoding of stdout has no letters for is printed escaped."""
    folder = plant(tmp_path / "tree", {"日本.py": "x = 1\n"})
    done = run(folder, "--out", tmp_path / "out", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "\\u65e5\\u672c" in done.stdout


def test_labels_of_the_chart_do_not_overlap(tmp_path: Path) -> None:
    """Each row has its own height, names end before the bars begin, values fit, and the picture holds all of it."""
    names = [f"module_{i:02}" for i in range(30)] + ["a_name_" * 12, "名" * 40]
    take(plant(tmp_path / "tree", {f"{name}.py": f"import {names[i // 2]}\n" for i, name in enumerate(names)}))
    svg = ET.parse(tmp_path / "out" / "census.svg").getroot()  # noqa: S314  # written by the program under test
    width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
    rows = svg.findall(f"{SVG}g")
    assert len(rows) == census_report.TOP
    bottom = 0.0
    for row in rows:
        label, value = row.findall(f"{SVG}text")
        bar = row.find(f"{SVG}rect")
        assert bar is not None
        assert label.text
        assert value.text
        top, tall = float(bar.attrib["y"]), float(bar.attrib["height"])
        assert top >= bottom
        assert top < float(label.attrib["y"]) < top + tall
        assert float(label.attrib["x"]) - census_report.width_of(label.text) * census_report.COLUMN >= 0
        assert float(label.attrib["x"]) < float(bar.attrib["x"])
        assert float(value.attrib["x"]) > float(bar.attrib["x"]) + float(bar.attrib["width"])
        assert float(value.attrib["x"]) + census_report.width_of(value.text) * census_report.COLUMN <= width
        bottom = top + tall
    assert bottom <= height


def test_plain_progress_is_a_line_at_every_tenth(tmp_path: Path) -> None:
    """Where nobody watches, a log gets ten lines and no control characters."""
    folder = plant(tmp_path / "tree", {f"m{i}.py": "x = 1\n" for i in range(50)})
    done = run(folder, "--out", tmp_path / "out")
    tenths = [f"scanned {n} % ({n // 2} of 50 files)" for n in range(10, 101, 10)]
    assert done.stderr.splitlines() == ["found 50 files", *tenths, "ranked in 1 turns"]


def test_progress_in_a_terminal_is_one_line_that_changes(tmp_path: Path) -> None:
    """A person sees one line that is rewritten, and the cursor is left at the start of the next one."""
    folder = plant(tmp_path / "tree", {f"m{i}.py": "x = 1\n" for i in range(50)})
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            command(folder, "--out", tmp_path / "out"), env=environment(), stdout=subprocess.DEVNULL, stderr=theirs
        ) as process:
            os.close(theirs)
            shown = b""
            while block := _read(ours):
                shown += block
            assert process.wait(60) == 0
    finally:
        os.close(ours)
    assert shown.count(b"\n") == 1
    assert shown.endswith(b"\n")
    parts = shown.decode().rstrip().split(census_progress.CLEAR)
    assert parts[1] == "found 50 files"
    assert "scanned 50 % (25 of 50 files)" in parts
    assert parts[-1] == "ranked in 1 turns"


def _read(descriptor: int) -> bytes:
    """Read from a terminal; on Linux its end is an error."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    """`--quiet` leaves only the files."""
    done = run(plant(tmp_path / "tree", SHOP), "--out", tmp_path / "out", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["census.json", "census.svg"]


@pytest.mark.parametrize("how", [[], ["--processes"]])
def test_ctrl_c_ends_it_cleanly(tmp_path: Path, how: list[str]) -> None:
    """An interrupt in the middle of the scan is exit code 130 and one line; no traceback, no child, no half report."""
    # A file whose opening was interrupted is dropped by aiofiles and closed by the interpreter, which may say so.
    lenient = ("-W", "ignore::ResourceWarning")
    done = interrupted("scanned 10 %", STDLIB, "--out", tmp_path / "out", *how, options=lenient)
    assert (done.returncode, done.stdout) == (130, "")
    found, *rest = done.stderr.splitlines()
    assert found.startswith("found ")
    assert [line for line in rest if not line.startswith("scanned ")] == ["code_census: interrupted"]
    assert list((tmp_path / "out").iterdir()) == []
