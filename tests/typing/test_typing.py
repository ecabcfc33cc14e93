"""What a type checker says of a user's program: nothing where it is right, and something at every mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RIGHT, WRONG = HERE / "user_code.py", HERE / "wrong_code.py"

Finding = tuple[int, str]


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """Run pyright once over both programs, as a project of a user; give (line, text) of its findings for each."""
    project = tmp_path_factory.mktemp("project")
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "extraPaths": [str(ROOT)]}
    (project / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    for program in (RIGHT, WRONG):
        (project / program.name).write_text(program.read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(project)]
    child = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=300)
    assert child.stdout.startswith("{"), f"pyright did not run: {child.stdout}{child.stderr}"
    report: dict[str, Any] = json.loads(child.stdout)
    assert report["summary"]["filesAnalyzed"] == 2, report["summary"]
    found: dict[str, list[Finding]] = {RIGHT.name: [], WRONG.name: []}
    for finding in report["generalDiagnostics"]:
        line = finding["range"]["start"]["line"] + 1
        found[Path(finding["file"]).name].append((line, f"{finding['severity']}: {finding['message']}"))
    return found


def lines_marked_wrong() -> Iterator[int]:
    """Give the numbers of the lines that say of themselves that they are mistakes."""
    for number, line in enumerate(WRONG.read_text(encoding="utf-8").splitlines(), start=1):
        if line.endswith("  # wrong"):
            yield number


def test_a_strict_program_has_no_findings(findings: dict[str, list[Finding]]) -> None:
    """The public types are complete and exact: a strict user sees no error and no unknown type."""
    shown = [f"{RIGHT.name}:{line}: {text}" for line, text in findings[RIGHT.name]]
    assert not shown, "\n".join(shown)


def test_every_mistake_is_found(findings: dict[str, list[Finding]]) -> None:
    """The public types are tight: each marked mistake is an error where it stands, and nothing else is."""
    by_line = dict(findings[WRONG.name])
    marked = set(lines_marked_wrong())
    missed = [f"{WRONG.name}:{line}: accepted" for line in sorted(marked - by_line.keys())]
    extra = [f"{WRONG.name}:{line}: {text}" for line, text in sorted(by_line.items()) if line not in marked]
    assert len(marked) > 30
    assert not missed + extra, "\n".join(missed + extra)
