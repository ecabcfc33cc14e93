"""Both forms of a prompt file: what is found under a name, a label and a version."""

from __future__ import annotations

import pickle
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import (
    GraflowError,
    PromptConfigurationError,
    PromptError,
    PromptNotFoundError,
    PromptTypeError,
    PromptVersionNotFoundError,
)
from graflow_async.prompts import ChatPrompt, PromptManager, PromptManagerFactory, TextPrompt, YAMLPromptManager

if TYPE_CHECKING:
    from pathlib import Path

SUMMARIZE = """\
- label: production
  version: 1
  template: |
    Summarize the following text in {{max_words}} words or less:

    {{text}}

- label: development
  version: 2
  template: |
    [DEV] Summarize: {{text}}
"""
GREETINGS = """\
welcome:
  type: text
  labels:
    production: {content: "Welcome, {{name}}!", version: 3, metadata: {owner: sales}, created_at: 2026-01-02}
    staging: {content: "Hi {{name}}"}
interview:
  type: chat
  labels:
    production:
      content:
        - {role: system, content: "You are {{persona}}.", name: chair}
        - {role: user, content: "{{question}}", extra: {tags: [a, b]}}
"""


def manager(folder: Path, **files: str) -> YAMLPromptManager:
    """Write files (`a__b` for a/b.yaml) and give a manager of their folder."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    return YAMLPromptManager(folder)


def test_scenario_153_a_list_file_is_the_prompt_of_its_name(tmp_path):
    """153: `get_prompt("summarize", label="production")` over the list form gives the production wording."""
    prompt = manager(tmp_path, summarize=SUMMARIZE).get_prompt("summarize", label="production")
    rendered = prompt.render(text="content to summarize", max_words=100)
    assert rendered == "Summarize the following text in 100 words or less:\n\ncontent to summarize"
    assert (prompt.name, prompt.label, prompt.version) == ("summarize", "production", 1)


def test_scenario_154_labels_and_what_is_not_there(tmp_path):
    """154: another label gives its version and wording; unknown labels and names are errors of their own."""
    prompts = manager(tmp_path, summarize=SUMMARIZE)
    prompt = prompts.get_prompt("summarize", label="development")
    assert prompt.version == 2
    assert prompt.render(text="x") == "[DEV] Summarize: x"
    with pytest.raises(PromptVersionNotFoundError, match=r"no label 'nightly'; it has: 'development' \(version 2\)"):
        prompts.get_prompt("summarize", label="nightly")
    with pytest.raises(PromptNotFoundError, match="did you mean 'summarize'"):
        prompts.get_prompt("sumarize")


def test_scenario_155_messages_from_a_rendered_prompt(tmp_path):
    """155: a prompt whose template needs only `text` makes the content of one user message."""
    prompts = manager(tmp_path, summarize="- {label: production, template: 'Summarize: {{text}}'}")
    messages = [{"role": "user", "content": prompts.get_prompt("summarize").render(text="a story")}]
    assert messages == [{"role": "user", "content": "Summarize: a story"}]


def test_scenario_156_the_mapping_form(tmp_path):
    """156: a mapping defines several prompts with labels, a default label, and version 1 unless it says otherwise."""
    prompts = manager(tmp_path, greetings=GREETINGS)
    welcome = prompts.get_text_prompt("welcome")
    assert welcome.render(name="Ada") == "Welcome, Ada!"
    assert (welcome.version, welcome.metadata["owner"], str(welcome.created_at)) == (3, "sales", "2026-01-02")
    assert prompts.get_prompt("welcome", None).label == "production"
    assert prompts.get_prompt("welcome", "staging").version == 1
    assert prompts.get_prompt("welcome", version=3).version == 3
    with pytest.raises(PromptVersionNotFoundError, match="no label 'production' with version 2"):
        prompts.get_prompt("welcome", version=2)
    with pytest.raises(PromptVersionNotFoundError):
        prompts.get_prompt("welcome", "staging", 3)


def test_a_chat_renders_to_messages_that_belong_to_the_caller(tmp_path):
    """Each message is rendered, its other fields are kept, and changing them changes nobody else's."""
    chat = manager(tmp_path, greetings=GREETINGS).get_chat_prompt("interview")
    first = chat.render(persona="a judge", question="Why?")
    assert first == [
        {"role": "system", "content": "You are a judge.", "name": "chair"},
        {"role": "user", "content": "Why?", "extra": {"tags": ["a", "b"]}},
    ]
    first[1]["extra"]["tags"].append("c")
    chat.content[0]["role"] = "nobody"
    assert chat.render(persona="", question="")[1]["extra"] == {"tags": ["a", "b"]}
    assert chat.render(persona="", question="")[0]["role"] == "system"


def test_text_and_chat_are_not_mixed_up(tmp_path):
    """Who asks for a text never gets a list of messages, and the error says what to call instead."""
    prompts = manager(tmp_path, greetings=GREETINGS)
    with pytest.raises(PromptTypeError, match="use get_chat_prompt"):
        prompts.get_text_prompt("interview")
    with pytest.raises(PromptTypeError, match="use get_text_prompt"):
        prompts.get_chat_prompt("welcome")
    assert isinstance(prompts.get_prompt("interview"), ChatPrompt)
    assert isinstance(prompts.get_prompt("welcome"), TextPrompt)


def test_without_a_version_the_highest_of_the_label_counts(tmp_path):
    """Versions are compared as numbers, in whatever order they stand."""
    rows = [f"- {{label: production, version: {n}, template: v{n}}}" for n in (9, 10, 2)]
    prompts = manager(tmp_path, p="\n".join(rows))
    assert prompts.get_prompt("p").render() == "v10"
    assert prompts.get_prompt("p", version=2).render() == "v2"


def test_folders_are_part_of_the_name(tmp_path):
    """A prompt in a sub-folder has its prefix, in both forms, and does not answer to its bare name."""
    prompts = manager(tmp_path, customer__vip__note="- {label: production, template: n}", customer__all=GREETINGS)
    assert prompts.get_prompt("customer/vip/note").render() == "n"
    assert prompts.get_prompt("customer/welcome").name == "customer/welcome"
    for name in ("note", "welcome", "customer/note", "customer/vip/welcome"):
        with pytest.raises(PromptNotFoundError):
            prompts.get_prompt(name)


def test_yml_files_count_and_others_do_not(tmp_path):
    """`*.yaml` and `*.yml` are prompt files; hidden files, backups and folders that look like one are none."""
    for name in ("a.yml", "b.yaml", ".c.yaml", "d.yaml~", "e.json"):
        (tmp_path / name).write_text("- {label: production, template: here}", encoding="utf-8")
    (tmp_path / "f.yaml").mkdir()
    prompts = YAMLPromptManager(tmp_path)
    assert prompts.get_prompt("a").render() == prompts.get_prompt("b").render() == "here"
    for name in ("c", ".c", "d", "e", "f"):
        with pytest.raises(PromptNotFoundError):
            prompts.get_prompt(name)


def test_several_files_may_define_one_prompt(tmp_path, caplog):
    """Labels of several files come together; of two definitions of one the later file's counts, and the log says so."""
    one = "p: {labels: {production: {content: first}, staging: {content: s}}}"
    prompts = manager(tmp_path, a=one, b="p: {labels: {production: {content: second}}}")
    assert prompts.get_prompt("p").render() == "second"
    assert prompts.get_prompt("p", "staging").render() == "s"
    assert [r.getMessage() for r in caplog.records] == [
        "prompt 'p', label 'production', version 1: b.yaml counts, not a.yaml"
    ]


def test_template_and_content_are_one_key(tmp_path):
    """Either word may be used in either form, and the type may be left to the content."""
    listed = "- {label: production, content: text}\n- {label: chat, content: [{role: user, content: hi}]}"
    prompts = manager(tmp_path, listed=listed, m="mapped: {labels: {production: {template: text}}}")
    assert prompts.get_prompt("listed").render() == prompts.get_prompt("mapped").render() == "text"
    assert prompts.get_prompt("listed", "chat").render() == [{"role": "user", "content": "hi"}]


def test_a_missing_directory_is_an_error_only_when_a_prompt_is_asked_for(tmp_path):
    """A program may start before its prompts are there, and finds them once they are."""
    prompts = YAMLPromptManager(tmp_path / "later")
    with pytest.raises(PromptNotFoundError, match=r"there is no directory .*later"):
        prompts.get_prompt("p")
    prompts.load()
    manager(tmp_path / "later", p="- {label: production, template: now}")
    assert prompts.get_prompt("p").render() == "now"


def test_the_directory_is_found(tmp_path, monkeypatch):
    """An argument counts before GRAFLOW_PROMPTS_DIR, and that before ./prompts; a later chdir changes nothing."""
    for name in ("given", "variable", "prompts"):
        manager(tmp_path / name, p=f"- {{label: production, template: {name}}}")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAFLOW_PROMPTS_DIR", raising=False)
    default = YAMLPromptManager()
    monkeypatch.setenv("GRAFLOW_PROMPTS_DIR", "variable")
    managers = [YAMLPromptManager("given/"), YAMLPromptManager(), default, PromptManagerFactory.create()]
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [m.get_prompt("p").render() for m in managers] == ["given", "variable", "prompts", "variable"]


def test_a_file_in_place_of_the_directory_is_a_wrong_configuration(tmp_path):
    """What can never become a directory of prompts is told as it is, also beforehand."""
    (tmp_path / "prompts").write_text("", encoding="utf-8")
    prompts = YAMLPromptManager(tmp_path / "prompts")
    for ask in (lambda: prompts.get_prompt("p"), prompts.load):
        with pytest.raises(PromptConfigurationError, match="Not a directory"):
            ask()


def test_the_factory_knows_one_backend(tmp_path):
    """An unknown backend is a ValueError, and options reach the manager."""
    prompts = PromptManagerFactory.create(backend="yaml", prompts_dir=tmp_path, cache_ttl=0)
    assert isinstance(prompts, YAMLPromptManager)
    assert isinstance(prompts, PromptManager)
    with pytest.raises(ValueError, match="langfuse"):
        PromptManagerFactory.create("langfuse")


@pytest.mark.parametrize("ttl", [-1, float("nan"), "1", None, True])
def test_a_ttl_that_makes_no_sense_is_refused(tmp_path, ttl: Any):
    """A wrong number is said where it was written."""
    with pytest.raises(ValueError, match="cache_ttl must be"):
        YAMLPromptManager(tmp_path, cache_ttl=ttl)


def test_prompts_and_errors_survive_pickling(tmp_path):
    """What travels to another process arrives: prompts with their texts, managers with their place, errors whole."""
    prompts = pickle.loads(pickle.dumps(manager(tmp_path, greetings=GREETINGS)))
    for name, given in (("welcome", {"name": "A"}), ("interview", {"persona": "p", "question": "q"})):
        prompt = prompts.get_prompt(name)
        twin = pickle.loads(pickle.dumps(prompt))
        assert twin.render(**given) == prompt.render(**given)
        assert (twin.name, twin.label, twin.version) == (prompt.name, prompt.label, prompt.version)
        assert (dict(twin.metadata), twin.created_at) == (dict(prompt.metadata), prompt.created_at)
    for act in (
        lambda: prompts.get_prompt("nobody"),
        lambda: prompts.get_prompt("welcome", "nolabel"),
        lambda: prompts.get_chat_prompt("welcome"),
        lambda: prompts.get_prompt("welcome").render(),
        lambda: manager(tmp_path, bad="- 1").get_prompt("bad"),
    ):
        with pytest.raises(PromptError) as caught:
            act()
        twin = pickle.loads(pickle.dumps(caught.value))
        assert (type(twin), str(twin), vars(twin)) == (type(caught.value), str(caught.value), vars(caught.value))
        assert isinstance(twin, GraflowError)
