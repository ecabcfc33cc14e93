"""The samples of seed 004's "Prompt Management", in plain code, in `def` tasks and in `async def` tasks."""

# The samples are kept as their readers write them: they name results before they return them.
# ruff: noqa: RUF100, RET504
# Their tasks are annotated for the async context while some are plain functions.
# pyright: reportArgumentType=false

from __future__ import annotations

import pytest

from graflow_async import PromptCompilationError, TaskExecutionContext, YAMLPromptManager, task, workflow

# prompts/summarize.yaml as the sample shows it
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


@pytest.fixture(autouse=True)
def prompts_folder(tmp_path, monkeypatch):
    """Run each sample where its `prompts/` is."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "summarize.yaml").write_text(SUMMARIZE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "prompts"


def needs_only_text(folder):
    """Give the sample of a workflow a template that needs what the sample passes."""
    text = SUMMARIZE.replace("{{max_words}}", "{{max_words|default(50)}}")
    (folder / "summarize.yaml").write_text(text, encoding="utf-8")


def test_yaml_prompts():
    """YAML Prompts: a manager of a directory, a prompt by name and label, and its text."""
    manager = YAMLPromptManager("prompts/")

    # Load and render prompt
    prompt = manager.get_prompt("summarize", label="production")
    rendered = prompt.render(text="content to summarize", max_words=100)

    assert rendered == "Summarize the following text in 100 words or less:\n\ncontent to summarize"


async def test_yaml_prompts_on_a_loop():
    """YAML Prompts: the same lines work unchanged inside a coroutine."""
    manager = YAMLPromptManager("prompts/")
    prompt = manager.get_prompt("summarize", label="production")
    rendered = prompt.render(text="content to summarize", max_words=100)
    assert isinstance(rendered, str)
    assert rendered.startswith("Summarize the following text in 100 words or less:")


def test_yaml_prompt_file_format():
    """YAML Prompt File Format: both entries of the list are there, each under its label."""
    manager = YAMLPromptManager("prompts/")
    assert manager.get_prompt("summarize").version == 1
    development = manager.get_prompt("summarize", label="development")
    assert (development.version, development.render(text="this")) == (2, "[DEV] Summarize: this")


def test_prompts_in_workflow(prompts_folder):
    """Prompts in Workflow: a `def` task makes its own manager and builds messages for a model."""
    needs_only_text(prompts_folder)

    with workflow("summaries") as wf:

        @task(inject_context=True)
        def summarize_task(ctx: TaskExecutionContext, text: str):
            manager = YAMLPromptManager("prompts/")
            prompt = manager.get_prompt("summarize", label="production")

            messages = [{"role": "user", "content": prompt.render(text=text)}]
            return messages

    messages = wf.execute(inputs={"text": "a long story"})
    wanted = "Summarize the following text in 50 words or less:\n\na long story"
    assert messages == [{"role": "user", "content": wanted}]


async def test_prompts_in_workflow_in_coroutines(prompts_folder):
    """Prompts in Workflow: the body of the sample, without an await, in an `async def` task."""
    needs_only_text(prompts_folder)

    with workflow("summaries") as wf:

        @task(inject_context=True)
        async def summarize_task(ctx: TaskExecutionContext, text: str):
            manager = YAMLPromptManager("prompts/")
            prompt = manager.get_prompt("summarize", label="production")

            messages = [{"role": "user", "content": prompt.render(text=text)}]
            return messages

    messages = await wf.run(inputs={"text": "a long story"})
    assert messages[0]["content"].endswith("words or less:\n\na long story")


@pytest.mark.parametrize("style", ["sync", "async"])
async def test_prompts_in_workflow_with_the_file_as_it_stands(style):
    """Prompts in Workflow: the file's own template needs max_words as well, and the task fails saying so."""

    def render(text):
        return YAMLPromptManager("prompts/").get_prompt("summarize", label="production").render(text=text)

    with workflow("summaries") as wf:
        if style == "sync":

            @task(inject_context=True)
            def summarize_task(ctx: TaskExecutionContext, text: str):
                return render(text)
        else:

            @task(inject_context=True)
            async def summarize_task(ctx: TaskExecutionContext, text: str):
                return render(text)

    with pytest.raises(PromptCompilationError, match="'max_words' is undefined; it was given: text") as caught:
        await wf.run(inputs={"text": "a long story"})
    assert caught.value.variable == "max_words"
