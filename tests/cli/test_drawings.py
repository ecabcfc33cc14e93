"""`runs graph` and `runs timeline --format`: drawings of a recorded run, on stdout or in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tests.cli.recorded import IN, lines_of

if TYPE_CHECKING:
    from tests.cli.conftest import Project


def test_a_recorded_run_is_drawn(jobs: Project) -> None:
    """A run that failed shows what completed, what failed and what was not reached, as text and as pictures."""
    (jobs.folder / "hurdle").touch()
    jobs("run", "jobs:job", *IN, "--run-id", "f")
    text = "\n".join(lines_of(jobs("runs", "graph", "f", *IN)))
    assert "first: completed" in text
    assert "second: failed" in text
    assert "third: " not in text
    lines_of(jobs("runs", "graph", "f", "jobs:job", *IN, "--format", "svg", "--output", "graph.svg"))
    picture = (jobs.folder / "graph.svg").read_text(encoding="utf-8")
    assert "job, run f" in [part.text for part in ET.fromstring(picture).iter()]  # noqa: S314  # our own drawing
    chart = "\n".join(lines_of(jobs("runs", "timeline", "f", *IN, "--format", "svg")))
    assert "a hurdle" in chart
    ET.fromstring(chart)  # noqa: S314  # our own drawing
    lines_of(jobs("runs", "timeline", "f", *IN, "--format", "html", "--output", "page.html"))
    assert (jobs.folder / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_formats_that_exclude_each_other_are_refused(jobs: Project) -> None:
    """JSON is no picture, and a table goes to the terminal: one line, code 2."""
    for options in (("--json", "--format", "svg"), ("--output", "file")):
        lines_of(jobs("runs", "timeline", "f", *IN, *options), code=2)
