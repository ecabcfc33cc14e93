"""`graph`: the drawing of a workflow in each language, on stdout or in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("arguments", "mark"),
    [
        ([], ""),
        (["--format", "ascii"], ""),
        (["--format", "mermaid"], "-->"),
        (["-f", "dot"], "->"),
        (["--format", "svg"], "<svg"),
    ],
)
def test_every_language_draws_every_node(project: Any, arguments: list[str], mark: str) -> None:
    """Each format has the tasks in it; what the module prints is not part of the drawing."""
    done = project("graph", "flows:sums", *arguments)
    assert (done.returncode, done.stderr) == (0, "imported\n")
    assert "imported" not in done.stdout
    for word in ("first", "second", mark):
        assert word in done.stdout


def test_a_drawing_goes_to_a_file(project: Any, tmp_path: Any) -> None:
    """`--output` writes the file, complete and well formed, and nothing on stdout."""
    path = tmp_path / "sums.svg"
    done = project("graph", "flows:sums", "--format", "svg", "--output", str(path))
    assert (done.returncode, done.stdout) == (0, "")
    assert ET.fromstring(path.read_text(encoding="utf-8")).tag.endswith("svg")  # noqa: S314  # our own drawing


def test_a_lone_task_is_a_graph(project: Any) -> None:
    """What can be run can be drawn, without running it."""
    done = project("graph", "flows:broken")
    assert done.returncode == 0
    assert "broken" in done.stdout


def test_what_cannot_be_drawn_or_written_is_one_line(fails: Callable[..., str], tmp_path: Any) -> None:
    """A wrong target is usage, a file that cannot be written is a failure."""
    assert "'nothing'" in fails(2, "graph", "flows:nothing")
    assert "cannot write" in fails(1, "graph", "flows:sums", "--output", str(tmp_path / "no" / "file"))
