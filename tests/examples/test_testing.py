"""The example of `16_testing`: its tests pass as its README runs them, and find what they are there to find."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.examples.test_examples import ROOT, run
from tests.testing.test_plugin import ALONE, LOADS_NOTHING

FOLDER = ROOT / "examples" / "16_testing"
# Without the project's own settings, and without files in its folders.
APART = (*ALONE, "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider")


def test_the_example_passes() -> None:
    """The README's command passes."""
    command = "python -m pytest -q examples/16_testing/test_my_workflow.py"
    assert f"```bash\n{command}\n```" in (FOLDER / "README.md").read_text(encoding="utf-8")
    done = run([sys.executable, *command.split()[1:], *APART], **LOADS_NOTHING)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        (
            "self.payments.setdefault(key, amount)",
            "self.payments[str(len(self.payments))] = amount",
            "a_death_anywhere",
        ),
        ('"looked up")', '"looked up", 2)', "a_small_refund"),
    ],
    ids=["key", "count"],
)
def test_a_bug_in_the_workflow_is_found(right: str, wrong: str, found: str, tmp_path: Path) -> None:
    """A bank without keys pays twice after a death; a wrong count fails the plain test."""
    for name in ("my_workflow.py", "test_my_workflow.py"):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert name != "my_workflow.py" or right in text
        (tmp_path / name).write_text(text.replace(right, wrong), encoding="utf-8")
    done = run([sys.executable, "-m", "pytest", "-q", str(tmp_path), *APART], **LOADS_NOTHING)
    assert done.returncode == 1, done.stdout + done.stderr
    assert found in done.stdout.partition("short test summary")[2]
