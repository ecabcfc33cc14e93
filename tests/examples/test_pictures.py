"""The pictures that the project shows of itself are those that it draws."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from graflow_async.testing import simulate

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "pictures"


def test_the_pictures_are_up_to_date() -> None:
    """Running the script again gives what lies there, letter for letter (see the README there)."""
    spec = importlib.util.spec_from_file_location("make_pictures", FOLDER / "make_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made: dict[str, str] = simulate(script.pictures)
    there = {path.name for path in FOLDER.iterdir() if path.suffix in {".svg", ".html"}}
    assert set(made) == there
    for name, content in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == content, f"{name} is not what is drawn today"


def test_the_pictures_are_shown() -> None:
    """Each picture is shown, or linked, by the page beside it, which names nothing else."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\(([\w.]+)\)", text))
    assert named == {path.name for path in FOLDER.iterdir() if path.suffix in {".svg", ".html"}}
