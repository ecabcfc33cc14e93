"""Files that are wrong, by mistake or on purpose: each says where, does no harm, and takes no other file with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from graflow_async import PromptConfigurationError, PromptNotFoundError
from graflow_async.prompts import YAMLPromptManager

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
GOOD = "- {label: production, template: fine}"

SHAPES = {
    "": "is empty",
    "just text": "is 'just text', not a list or a mapping",
    "- 1": "p.yaml:1 ([0]): an entry of the list is a mapping, not 1",
    "[]": None,
    "- {template: x}": "p.yaml:1 ([0]): has no label; it has: template",
    "- {lable: development, template: x}": "has no label; it has: lable, template",
    "- label: production\n  version: 1\n": "p.yaml:1 ([0]): label 'production' has neither template nor content",
    "- {label: a, template: x, content: y}": "has both template and content",
    "- label: a\n  version: 1.5\n  template: x": "p.yaml:2 ([0].version): a version is a whole number, not 1.5",
    "- {label: a, version: true, template: x}": "a version is a whole number, not True",
    "- {label: on, template: x}": "a label is a text, not True (in YAML yes, no, on and off are truth values",
    "- {label: a, template: 42}": "the template of a text prompt is a text, not 42",
    "- {label: a, template: ''}": "the template of a text prompt is a text, not nothing",
    "- {label: a, template: {b: c}}": "the template of a text prompt is a text, not a mapping",
    "- {label: a, template: x, type: song}": "the type of a prompt is 'text' or 'chat', not 'song'",
    "- {label: a, template: x, type: chat}": "a chat prompt is a list of messages, not 'x'",
    "- {label: a, template: [], type: chat}": "a chat prompt is a list of messages, not an empty list",
    "- {label: a, template: [1]}": "([0].template[0]): a message is a mapping, not 1",
    "- {label: a, template: [{role: user}]}": "a message needs content; it has: role",
    "- {label: a, template: [{role: user, content: [x]}]}": "content of a message is a text, not a list",
    "- {label: a, template: x, metadata: 7}": "metadata is a mapping, not 7",
    "- {label: a, template: x}\n- {label: a, template: y}": "p.yaml:2 ([1]): label 'a' has version 1 twice",
    "p: text": "p.yaml:1 (p): a prompt is a mapping, not 'text'",
    "p: {label: a}": "has no labels; it has: label",
    "p: {labels: [a]}": "p.yaml:1 (p.labels): labels is a mapping, not a list",
    "p:\n  labels:\n    production: x": "p.yaml:3 (p.labels.production): label 'production' is a mapping, not 'x'",
    "p: {labels: {1: {content: x}}}": "a label is a text, not 1",
    "on: {labels: {}}": "True cannot be the name of a prompt (in YAML yes, no, on",
    "a/p: {labels: {}}": "'a/p' cannot be the name of a prompt",
    "p: {labels: {}}\np: {labels: {}}": "line 2: key 'p' stands twice in one mapping",
    "p: [": "is no plain YAML (line 1)",
    "--- a\n--- b": "is no plain YAML",
    "p: !!timestamp 2026-99-99": "is no plain YAML",
    "p: 2026-99-99": "is no plain YAML",
    "? [a]\n: b": "is no plain YAML",
    "p: \x07": "is no plain YAML",
    f"n: {'9' * 5000}": "is no plain YAML",
}


@pytest.mark.parametrize("text", SHAPES)
def test_a_wrong_shape_is_told_with_its_place(tmp_path, text):
    """Every mistake is a PromptConfigurationError that names the file and what is wrong; an empty list defines none."""
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    said = SHAPES[text]
    kind = PromptNotFoundError if said is None else PromptConfigurationError
    with pytest.raises(kind) as caught:
        YAMLPromptManager(tmp_path).get_prompt("p")
    assert "p.yaml" in str(caught.value) or said is None
    assert (said or "there is no prompt 'p'") in str(caught.value)


HOSTILE = {
    "tag": ("p: !!python/object/apply:os.system ['touch made']", "could not determine a constructor"),
    "tag in a list": ("- !!python/object/new:type {}", "could not determine a constructor"),
    "module": ("- !!python/name:os.system", "could not determine a constructor"),
    "ring": ("p: &a [*a]", "an alias stands inside of what it refers to"),
    "ring of mappings": ("p: &a {labels: *a}", "an alias stands inside of what it refers to"),
    "laughs": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)),
        "more than 100,000 values, aliases written out",
    ),
    "merges": (
        "a0: &a0 {x: 1, y: 2}\n"
        + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 30)),
        "more than 100,000 values, aliases written out",
    ),
    "deep": ("[" * 100_000, "nested too deeply"),
    "large": ("# " + "x" * (1 << 20), "larger than 1,048,576 bytes"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_and_runs_nothing(tmp_path, monkeypatch, name):
    """Tags make no objects, aliases no gigabytes, nesting no crash: the file is refused with the reason."""
    monkeypatch.chdir(tmp_path)
    text, said = HOSTILE[name]
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PromptConfigurationError) as caught:
        YAMLPromptManager(tmp_path).get_prompt("p")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert [path.name for path in tmp_path.iterdir()] == ["p.yaml"]


def test_bytes_that_are_no_text_are_told(tmp_path):
    """A file in another encoding says at which byte it stops being UTF-8; a byte order mark is no harm."""
    (tmp_path / "p.yaml").write_bytes(b"- {label: a, template: \xe9t\xe9}")
    with pytest.raises(PromptConfigurationError, match=r"p\.yaml is no UTF-8 text \(byte 23\)"):
        YAMLPromptManager(tmp_path).get_prompt("p")
    (tmp_path / "q.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert YAMLPromptManager(tmp_path).get_prompt("q").render() == "fine"


def test_a_wrong_file_takes_no_other_with_it(tmp_path):
    """Prompts of other files are served; one that is in none of them may be in the wrong one, which is told."""
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    (tmp_path / "good.yaml").write_text(GOOD, encoding="utf-8")
    mixed = "one: {labels: {production: {content: fine}}}\ntwo: {labels: 7}\n"
    (tmp_path / "mixed.yaml").write_text(mixed, encoding="utf-8")
    prompts = YAMLPromptManager(tmp_path)
    assert prompts.get_prompt("good").render() == prompts.get_prompt("one").render() == "fine"
    with pytest.raises(PromptConfigurationError, match=r"mixed\.yaml:2 \(two\.labels\)"):
        prompts.get_prompt("two")
    with pytest.raises(PromptConfigurationError, match=r"'other' is in no file that can be read; .*bad\.yaml"):
        prompts.get_prompt("other")


def test_loading_tells_everything_that_is_wrong(tmp_path):
    """A check at the start of a program names every wrong file at once, in folders too."""
    (tmp_path / "a.yaml").write_text("a: [", encoding="utf-8")
    (tmp_path / "in" / "side").mkdir(parents=True)
    (tmp_path / "in" / "side" / "b.yaml").write_text("- {label: 7}", encoding="utf-8")
    with pytest.raises(PromptConfigurationError) as caught:
        YAMLPromptManager(tmp_path).load()
    lines = str(caught.value).splitlines()
    assert lines[0].endswith(": 2 wrong")
    assert "a.yaml" in lines[1]
    assert "in/side/b.yaml:1" in lines[2]


NAMES = [
    *("../outside/secret", "..", ".", "a/../../outside/secret", "./good", "good/", "/good", "//good", "a//b", ""),
    *("..\\outside\\secret", "C:\\good", "good\0", "good\n", "goo\x1bd", "\ud800", "/etc/passwd", ".hidden", "a/.b"),
    *("x" * 100_000, "/".join("x" * 3000), "good.yaml/x"),
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:24])
def test_a_hostile_name_leads_nowhere(tmp_path, name):
    """No name leads out of the directory, to hidden files, or to an error that is none of prompts."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "prompts").mkdir()
    for path in ("outside/secret.yaml", "prompts/good.yaml", "prompts/.hidden.yaml"):
        (tmp_path / path).write_text(GOOD, encoding="utf-8")
    prompts = YAMLPromptManager(tmp_path / "prompts")
    assert prompts.get_prompt("good").render() == "fine"
    with pytest.raises(PromptNotFoundError) as caught:
        prompts.get_prompt(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("name", [None, 7, b"good", ["good"]])
def test_a_name_that_is_no_text_is_a_type_error(tmp_path, name):
    """A mistake in the program is no missing prompt."""
    with pytest.raises(TypeError, match="the name of a prompt is a text"):
        YAMLPromptManager(tmp_path).get_prompt(name)


def test_links_are_followed_inside_the_directory_only(tmp_path):
    """Mounted configurations are links within one directory and work; a link that leads out is refused by name."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.yaml").write_text(GOOD, encoding="utf-8")
    inside = tmp_path / "prompts"
    (inside / "..data").mkdir(parents=True)
    (inside / "..data" / "mounted.yaml").write_text(GOOD, encoding="utf-8")
    (inside / "mounted.yaml").symlink_to("..data/mounted.yaml")
    (inside / "secret.yaml").symlink_to(tmp_path / "outside" / "secret.yaml")
    (inside / "out").symlink_to(tmp_path / "outside")
    (inside / "ring.yaml").symlink_to("ring.yaml")
    (inside / "gone.yaml").symlink_to("nowhere")
    (tmp_path / "linked").symlink_to("prompts")
    for directory in (inside, tmp_path / "linked"):
        prompts = YAMLPromptManager(directory)
        prompts.load()
        assert prompts.get_prompt("mounted").render() == "fine"
        with pytest.raises(PromptNotFoundError, match=r"secret\.yaml is a link that leads out of"):
            prompts.get_prompt("secret")
        for name in ("out/secret", "ring", "gone"):
            with pytest.raises(PromptNotFoundError):
                prompts.get_prompt(name)


def test_a_sibling_whose_name_begins_alike_is_outside(tmp_path):
    """`prompts-private` is not inside of `prompts`."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts-private").mkdir()
    (tmp_path / "prompts-private" / "p.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "prompts" / "p.yaml").symlink_to(tmp_path / "prompts-private" / "p.yaml")
    with pytest.raises(PromptNotFoundError, match="leads out of"):
        YAMLPromptManager(tmp_path / "prompts").get_prompt("p")


def test_what_is_no_file_is_not_opened(tmp_path):
    """A named pipe in the folder, which would keep its reader waiting, is passed over."""
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "good.yaml").write_text(GOOD, encoding="utf-8")
    prompts = YAMLPromptManager(tmp_path)
    assert prompts.get_prompt("good").render() == "fine"
    with pytest.raises(PromptNotFoundError):
        prompts.get_prompt("pipe")


def without(module: str) -> Callable[[str], str]:
    """Give what runs a program in an interpreter that does not have a package, and gives what it prints."""

    def run(program: str) -> str:
        code = f"import sys; sys.modules[{module!r}] = None\n{program}"
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize(("module", "named"), [("jinja2", "Jinja2"), ("yaml", "PyYAML")])
def test_an_absent_extra_is_told_with_what_to_install(tmp_path, module, named):
    """Without a package of the extra, importing and making a manager work; its first use says what to install."""
    (tmp_path / "p.yaml").write_text(GOOD, encoding="utf-8")
    said = without(module)(
        "from graflow_async import YAMLPromptManager, ConfigError, PromptConfigurationError\n"
        "from graflow_async.prompts import TextPrompt, PromptManager\n"
        f"prompts = YAMLPromptManager({str(tmp_path)!r})\n"
        "try: prompts.get_prompt('p').render()\n"
        "except PromptConfigurationError as error: print(isinstance(error, ConfigError), error)\n"
    )
    assert said.startswith("True ")
    assert f"needs {named}" in said
    assert 'pip install "graflow-async[prompts]"' in said


def test_importing_the_package_loads_no_part_of_the_extra():
    """Who has no prompts pays nothing for them; the manager's name is there all the same."""
    program = (
        "import sys, graflow_async\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'jinja2', 'yaml', 'markupsafe'}))\n"
        "print('graflow_async.prompts' in sys.modules, graflow_async.YAMLPromptManager.__module__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[]", "False graflow_async.prompts.yaml_manager"], done.stderr
