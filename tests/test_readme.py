"""The README is a promise: every Python block in it runs as it stands and prints what its comments say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PROMISED = re.compile(r"^[^#\n]*(?:print|asyncio\.run)\(.*?\)\s+# (.+)$", re.MULTILINE)


def promised(block: str) -> list[str]:
    """Collect what the comments after print (or after the run that prints) announce."""
    return [text.partition(":")[0] for text in PROMISED.findall(block)]


def test_there_are_blocks_and_promises() -> None:
    """The patterns of this file still find what they are for."""
    assert len(BLOCKS) >= 4
    assert sum(len(promised(block)) for block in BLOCKS) >= 4


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_runs_and_prints_what_it_says(block: str, tmp_path: Path) -> None:
    """A newcomer may paste any block into a file and run it."""
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    child = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "XDG_STATE_HOME": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines() == promised(block)


def test_links_lead_somewhere() -> None:
    """Every relative link of the README exists."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
