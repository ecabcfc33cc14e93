"""The notebook of `11_notebook`, executed from top to bottom in a kernel of its own, as its README says."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import nbformat
import pytest

from tests.examples.test_examples import ROOT

FOLDER = ROOT / "examples" / "11_notebook"
NOTEBOOK = FOLDER / "tour.ipynb"
SVG = "{http://www.w3.org/2000/svg}"


def cells_of(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Execute the notebook by the README's command, into another file; give its cells by their ids."""
    folder = tmp_path_factory.mktemp("notebook")
    (command,) = re.findall(r"^```bash\n(.*)\n```$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    name, *arguments = command.split()
    homes = {name: str(folder / name) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    before = sorted(FOLDER.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments, f"--output={folder / 'ran'}"],
        cwd=ROOT,
        env={
            **os.environ,
            **homes,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(FOLDER.iterdir()) == before
    return {cell["id"]: cell for cell in cells_of(folder / "ran.ipynb")}


def printed(cell: dict[str, Any]) -> list[str]:
    """Give the lines that a cell printed."""
    shown = ["".join(one["text"]) for one in cell["outputs"] if one.get("name") == "stdout"]
    return "".join(shown).splitlines()


def value(cell: dict[str, Any]) -> Any:
    """Give the value of a cell."""
    (shown,) = [one["data"] for one in cell["outputs"] if one["output_type"] == "execute_result"]
    return ast.literal_eval("".join(shown["text/plain"]))


def picture(cell: dict[str, Any], kind: str) -> dict[str, str]:
    """Give what a cell shows as a picture, by its form."""
    (shown,) = [one["data"] for one in cell["outputs"] if one["output_type"] == kind]
    return {form: "".join(text) for form, text in shown.items()}


def words(svg: str) -> str:
    """Give the text of a picture."""
    drawn = ET.fromstring(svg)  # noqa: S314  # what this project drew itself
    assert drawn.tag == f"{SVG}svg"
    return " ".join("".join(text.itertext()) for text in drawn.iter(f"{SVG}text"))


def test_every_cell_is_executed_and_one_fails_on_purpose(cells: dict[str, dict[str, Any]]) -> None:
    """From top to bottom, once each; only the cell that interrupts itself ends with an error."""
    assert [cell["execution_count"] for cell in cells.values()] == [*range(1, len(cells_of(NOTEBOOK)) + 1)]
    failed = {
        name: one["ename"] for name, cell in cells.items() for one in cell["outputs"] if one["output_type"] == "error"
    }
    assert failed == {"stop": "CancelledError"}


def test_graphs_are_drawn_as_they_are_and_as_they_grew(cells: dict[str, dict[str, Any]]) -> None:
    """A workflow and a run show themselves in three forms; the run's picture has the children and is the last one."""
    declared, grown = picture(cells["graph"], "execute_result"), picture(cells["grown"], "display_data")
    for shown in (declared, grown):
        assert set(shown) == {"image/svg+xml", "text/html", "text/plain"}
        assert "<svg" in shown["text/html"]
    assert "total" not in words(declared["image/svg+xml"])
    drawn = words(grown["image/svg+xml"])
    for name in ("regions", "collect", "total_1", "total_2", "total_3", "best", "whole"):
        assert name in drawn
        assert re.search(rf"\b{name}: completed", grown["text/plain"])
    times = words(picture(cells["timeline"], "execute_result")["image/svg+xml"])
    assert {"regions", "total_3", "whole"} <= set(times.split())


def test_values_and_stories_are_right(cells: dict[str, dict[str, Any]]) -> None:
    """Runs have their value, also after an interrupted one; `execute` is refused; the story tells of the retry."""
    assert value(cells["run"]) == value(cells["grown"]) == value(cells["after"]) == {"best": "north", "whole": 630}
    assert "await wf.run()" in "".join(printed(cells["door"]))
    spans = printed(cells["spans"])
    assert len(spans) == 8
    assert [line.split()[0] for line in spans if "retrying" in line] == ["total_3"]
    assert [line.split()[0] for line in spans if line.endswith("waited for retry")] == ["total_3"]
    path, explained = printed(cells["explain"])
    assert path.split(" >> ")[:4] == ["regions", "collect", "total_3", "total_3"]
    assert explained.startswith("collect ")
    assert "when 'regions' had ended" in explained


def test_a_question_waits_while_other_cells_run(cells: dict[str, dict[str, Any]]) -> None:
    """The run goes on when its cell has ended, refuses what does not fit, and ends with the answer of a later cell."""
    assert value(cells["ask"]) == "running"
    question, refused = printed(cells["answer"])
    assert question == "Which cake? ('plum', 'poppy')"
    assert "'cheese' is none of its options" in refused
    assert value(cells["answer"]) == "one plum cake, chosen by you"


def test_progress_failure_and_interruption_are_seen(cells: dict[str, dict[str, Any]]) -> None:
    """The bar is full in the end, an exception names its task, and an interrupted task tidies up."""
    assert picture(cells["progress"], "display_data")["text/plain"] == f"{'#' * 40} 50 of 50"
    assert value(cells["progress"]) == sum(x * x for x in range(50))
    error, *notes = printed(cells["failure"])
    assert error == "ZeroDivisionError('division by zero')"
    assert "task 'divide_1', attempt 1" in notes[0]
    assert printed(cells["stop"]) == ["told to stop"]


def test_the_notebook_is_kept_without_outputs() -> None:
    """What is in the repository is a valid notebook of sources alone."""
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))
    cells = cells_of(NOTEBOOK)
    assert cells
    assert [cell["id"] for cell in cells if cell["outputs"] or cell["execution_count"] is not None] == []
