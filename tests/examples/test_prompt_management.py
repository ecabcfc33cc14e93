"""The examples of `14_prompt_management`: what they print, and that their prompt files are right."""

from __future__ import annotations

import re
import sys

import pytest

from graflow_async import YAMLPromptManager
from tests.examples.test_examples import ROOT, readme_of, run

FOLDER = "14_prompt_management"
NAMES = ["change_prompts.py", "prompts_in_workflows.py", "render_prompts.py"]


def path_of(name: str) -> str:
    return f"examples/{FOLDER}/{name}"


@pytest.mark.parametrize("name", NAMES)
def test_an_example_prints_what_its_readme_shows(name, tmp_path):
    """The README's command prints the README's block, without a warning, and leaves no file behind."""
    section = readme_of(FOLDER)[name]
    assert section["bash"] == f"python {path_of(name)}\n"
    done = run([sys.executable, path_of(name)], TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == section["text"]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_changed_prompts_are_kept_where_it_is_told(tmp_path):
    """With a directory as argument the output is the same, and the file is there to be looked at."""
    done = run([sys.executable, path_of("change_prompts.py"), str(tmp_path)])
    assert done.stdout == readme_of(FOLDER)["change_prompts.py"]["text"], done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["reply.yaml"]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_can_be_imported_without_running(name):
    """Nothing runs and nothing is printed before the main part is called."""
    done = run([sys.executable, "-c", f"import runpy; runpy.run_path({path_of(name)!r}, run_name='example')"])
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""


def test_the_readme_describes_the_files_that_are_there():
    """No example is left out of the README, and it shows none that is gone."""
    assert sorted(readme_of(FOLDER)) == sorted(p.name for p in (ROOT / "examples" / FOLDER).glob("*.py")) == NAMES


def test_the_folder_shows_both_styles():
    """Readers who write plain functions and readers who write coroutines both find their style."""
    code = (ROOT / path_of("prompts_in_workflows.py")).read_text(encoding="utf-8")
    assert re.search(r"@task.*\n *def ", code)
    assert re.search(r"@task.*\n *async def ", code)
    assert ".execute(" in code
    assert "await many.run(" in code


def test_the_prompt_files_have_both_forms():
    """The files can be loaded as a whole, and show a list, a mapping, labels, versions and a folder."""
    manager = YAMLPromptManager(ROOT / "examples" / FOLDER / "prompts")
    manager.load()
    assert manager.get_prompt("summarize", "development").version == 2
    assert manager.get_text_prompt("customer/welcome").metadata == {"owner": "support"}
    assert len(manager.get_chat_prompt("customer/answer").content) == 2
