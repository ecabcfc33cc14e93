"""The examples: each one runs as its README says and prints what its README shows, to the letter."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.aids import warm

if TYPE_CHECKING:
    import subprocess

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    *("01_basics", "02_workflows", "03_data_flow", "06_advanced", "07_dynamic_tasks", "09_dynamic_workflows"),
    "15_telemetry",
)
HEADING = re.compile(r"^## (\S+\.py)$", re.MULTILINE)
BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections(readme: str) -> dict[str, dict[str, str]]:
    """Read a README: file name -> its `bash` block (how to run it) and its `text` block (what it prints)."""
    found: dict[str, dict[str, str]] = {}
    parts = HEADING.split(readme)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        assert name not in found, f"{name} has two sections"
        blocks = BLOCK.findall(body)
        assert [kind for kind, _ in blocks] == ["bash", "text"], f"{name} needs one bash and one text block"
        found[name] = dict(blocks)
    return found


def readme_of(folder: str) -> dict[str, dict[str, str]]:
    return sections((ROOT / "examples" / folder / "README.md").read_text(encoding="utf-8"))


def scripts() -> list[str]:
    return [
        path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in sorted(ROOT.glob(f"examples/{folder}/*.py"))
    ]


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command at the project's root, where the package need not be installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PYTHONWARNINGS": "error", **variables}
    assert command[0] == sys.executable
    return warm.run(command[1:], cwd=ROOT, env=environment)


@pytest.mark.parametrize("script", scripts())
def test_an_example_prints_what_its_readme_shows(script: str) -> None:
    """The README's command, run as it stands, prints the README's block: no line more, none less, no warning."""
    _, folder, name = script.split("/")
    section = readme_of(folder)[name]
    interpreter, *arguments = section["bash"].split()
    assert (interpreter, arguments) == ("python", [script])
    done = run([sys.executable, *arguments])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == section["text"].splitlines()
    assert done.stderr == ""


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_readme_describes_the_files_that_are_there(folder: str) -> None:
    """No example is left out of its README, and no README shows one that is gone."""
    assert sorted(readme_of(folder)) == sorted(path.name for path in (ROOT / "examples" / folder).glob("*.py"))


@pytest.mark.parametrize("script", scripts())
def test_an_example_can_be_imported_without_running(script: str) -> None:
    """A newcomer may import from an example: nothing runs and nothing is printed before its main part is called."""
    done = run([sys.executable, "-c", f"import runpy; runpy.run_path({script!r}, run_name='example')"])
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_shows_both_styles(folder: str) -> None:
    """Readers who write plain functions and readers who write coroutines both find their style in every folder."""
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "examples" / folder).glob("*.py"))
    assert ".execute(" in code
    assert re.search(r"@task.*\n *def ", code)
    assert "asyncio.run(" in code
    assert re.search(r"@task.*\n *async def ", code)


# What the product's description shows under "Expected Output", excerpts as they are; `...` stands for lines left out.
ANNOUNCED = {
    "06_advanced/lambda_tasks.py": """\
=== Lambda and Closure Tasks ===

Step 1: Creating tasks from lambdas and closures
✅ Lambda task created
✅ Closure task created
✅ Complex closure task created

Step 2: Building workflow
✅ Task graph built

Step 3: Executing workflow
⏳ Executing tasks...
✅ lambda_task executed -> 42
✅ double_task executed -> 84
✅ multiply_by_10 executed -> 840
""",
    "06_advanced/dynamic_tasks.py": """\
=== Dynamic Task Generation ===

Scenario 1: Batch Processing
Creating 5 processing tasks dynamically...
✅ Task process_item_0 created
✅ Task process_item_1 created
...

Scenario 2: Conditional Pipeline
Configuration: enable_validation=True, enable_transform=True
Building conditional pipeline...
✅ Extract task added
✅ Validation task added (conditional)
...
""",
    "06_advanced/custom_serialization.py": """\
=== Custom Serialization Demo ===

Test 1: Serializing Lambda Functions
✅ Lambda function serialized and deserialized
   Original result: 15
   Deserialized result: 15

Test 2: Serializing Closures
✅ Closure with captured state serialized
   Factory multiplier: 10
   Result: 50
...
""",
    "06_advanced/nested_workflow.py": """\
=== Nested Workflows Demo ===

Scenario 1: Basic Nested Workflows
📦 Outer Workflow: data_processing
   🔹 Inner Workflow: validation_workflow
      ✅ validate_schema completed
      ✅ validate_values completed
   ✅ Inner validation workflow completed

   🔹 Inner Workflow: transformation_workflow
      ✅ normalize_data completed
      ✅ enrich_data completed
   ✅ Inner transformation workflow completed

✅ Outer workflow completed
""",
    "07_dynamic_tasks/dynamic_tasks.py": """\
=== Dynamic Task Generation ===

Scenario 1: Batch Processing
Creating 5 processing tasks dynamically...
✅ Task process_item_0 created
✅ Task process_item_1 created
...

Scenario 2: Conditional Pipeline
Configuration: enable_validation=True
✅ Extract task added
✅ Validation task added (conditional)
...
""",
    "07_dynamic_tasks/runtime_dynamic_tasks.py": """\
=== Runtime Dynamic Task Generation ===

=== Scenario 1: Conditional Task Creation ===
Processing data: value=150
✅ Value > 100, creating high-value task
High-value processing: 150 → 300
...

=== Scenario 2: Iterative Processing ===
Iteration 0: accuracy=0.50
Iteration 1: accuracy=0.65
...
✅ Converged! Saving final model
...

=== Scenario 5: State Machine ===
Current state: START (data=0)
→ Transitioning to PROCESSING
...
""",
}


def matches(text: str, shown: str) -> bool:
    """Compare line by line; a line `...` in `shown` stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in shown.removesuffix("\n").split("\n")
    )
    return re.fullmatch(pattern, text) is not None


@pytest.mark.parametrize("script", ANNOUNCED)
def test_an_example_shows_what_was_announced(script: str) -> None:
    """What the product's description shows for an example is what its README shows, which is what it prints."""
    folder, name = script.split("/")
    assert matches(readme_of(folder)[name]["text"], ANNOUNCED[script])


@pytest.mark.parametrize("script", ANNOUNCED)
def test_the_comparison_sees_a_missing_line(script: str) -> None:
    """Each announced line counts: an output without it would not pass."""
    folder, name = script.split("/")
    lines = readme_of(folder)[name]["text"].splitlines(keepends=True)
    for line in set(ANNOUNCED[script].splitlines(keepends=True)) - {"...\n", "\n"}:
        assert not matches("".join(other for other in lines if other != line), ANNOUNCED[script]), line


@pytest.mark.parametrize(
    "damaged",
    [
        "## a.py\n```bash\npython a.py\n```\n",
        "## a.py\n```text\nout\n```\n```bash\npython a.py\n```\n",
        "## a.py\n```bash\npython a.py\n```\n```text\nout\n```\n```text\nmore\n```\n",
    ],
)
def test_a_readme_section_that_lacks_its_blocks_is_refused(damaged: str) -> None:
    """The comparison cannot be lost to a README that says too little or shows two outputs for one file."""
    with pytest.raises(AssertionError, match=r"a\.py needs one bash and one text block"):
        sections(damaged)
