"""`workflow(..., prompt_manager=pm)`: every task has it, wherever it runs."""

from __future__ import annotations

from typing import Any

import pytest

from graflow_async import ConfigError, TaskExecutionContext, Workflow, YAMLPromptManager, flow, parallel, task, workflow
from graflow_async.prompts import ChatPrompt, PromptManager, TextPrompt


@pytest.fixture
def prompts(tmp_path) -> YAMLPromptManager:
    (tmp_path / "greet.yaml").write_text("- {label: production, template: 'Hello {{who}}'}", encoding="utf-8")
    return YAMLPromptManager(tmp_path)


async def test_scenario_157_every_task_has_it(prompts):
    """157: tasks, members of groups, children of all kinds and sync tasks in threads see the very same manager."""
    seen: dict[str, Any] = {}

    def note(ctx):
        seen[ctx.task_id] = ctx.prompt_manager

    with workflow("w", prompt_manager=prompts) as wf:

        @task(inject_context=True)
        async def first(ctx: TaskExecutionContext):
            note(ctx)
            await ctx.call(child)
            await ctx.map(item, [1, 2])
            ctx.next_task(wished)

        @task(inject_context=True)
        async def child(ctx: TaskExecutionContext):
            note(ctx)

        @task(inject_context=True)
        async def item(ctx: TaskExecutionContext, n):
            note(ctx)

        @task(inject_context=True)
        def wished(ctx):
            note(ctx)

        @task(inject_context=True)
        async def left(ctx: TaskExecutionContext):
            note(ctx)

        @task(inject_context=True)
        def right(ctx):
            note(ctx)

        @task(inject_context=True, executor="inline")
        def last(ctx):
            note(ctx)

        _ = first >> parallel(left, right, name="both") >> last
    await wf.run(first)
    assert set(seen) >= {"first", "left", "right", "last"}
    assert len(seen) == 8, seen
    assert all(found is prompts for found in seen.values())


def test_scenario_157_in_plain_code(prompts):
    """157, with plain functions: the manager renders in a thread as it does on the loop."""
    with workflow("w", prompt_manager=prompts) as wf:

        @task(inject_context=True)
        def hello(ctx):
            return ctx.prompt_manager.get_text_prompt("greet").render(who="Ada")

    assert wf.execute() == "Hello Ada"


async def test_a_child_run_has_the_manager_of_the_run_around_it(prompts, tmp_path):
    """Without its own a child run uses its caller's, however deep; with one it uses that, and so do those below it."""
    other = YAMLPromptManager(tmp_path / "other")
    seen: dict[str, Any] = {}

    @task(inject_context=True)
    async def leaf(ctx: TaskExecutionContext):
        seen.setdefault(ctx.task_id, []).append(ctx.prompt_manager)

    inner = Workflow("inner", leaf)

    @task(inject_context=True)
    async def middle(ctx: TaskExecutionContext):
        await ctx.run_workflow(inner)

    plain, own = Workflow("plain", middle), Workflow("own", middle, prompt_manager=other)

    @flow
    async def written():
        await leaf()

    @task(inject_context=True)
    async def top(ctx: TaskExecutionContext):
        await ctx.run_workflow(inner)
        await ctx.run_workflow(plain)
        await ctx.run_workflow(own)
        await written()

    await Workflow("top", top, prompt_manager=prompts).run()
    assert seen["leaf"] == [prompts, prompts, other, prompts]


async def test_a_parameter_of_that_name_is_given_it(prompts):
    """A task that takes `prompt_manager` needs no context, and a value that is bound counts before it."""

    @task
    async def hello(prompt_manager: YAMLPromptManager):
        return prompt_manager.get_text_prompt("greet").render(who="Bob")

    assert await Workflow("w", hello, prompt_manager=prompts).run() == "Hello Bob"
    assert await Workflow("w", hello).provide("prompt_manager", prompts).run() == "Hello Bob"


async def test_without_one_the_error_says_what_to_pass():
    """A task that asks for what nobody gave fails with the remedy in the message; others never notice."""

    @task(inject_context=True)
    async def hello(ctx: TaskExecutionContext):
        return ctx.prompt_manager

    with pytest.raises(ConfigError, match=r"'hello' asks for ctx\.prompt_manager.*workflow\(name, prompt_manager="):
        await Workflow("w", hello).run()


async def test_a_factory_is_for_parameters(prompts):
    """What `provide` calls once per run cannot be had from a property, and the error says so."""

    @task(inject_context=True)
    async def asks(ctx: TaskExecutionContext):
        return ctx.prompt_manager

    @task
    async def takes(prompt_manager):
        return prompt_manager

    with pytest.raises(ConfigError, match="was given a factory"):
        await Workflow("w", asks).provide("prompt_manager", lambda: prompts).run()
    assert await Workflow("w", takes).provide("prompt_manager", lambda: prompts).run() is prompts


@pytest.mark.parametrize("wrong", ["prompts/", 7, YAMLPromptManager, object(), lambda: None])
def test_what_is_no_prompt_manager_is_refused(wrong: Any):
    """A path, a class or anything without the three methods is refused where it is given."""
    with pytest.raises(ConfigError, match="prompt_manager= takes an object with get_prompt"):
        workflow("w", prompt_manager=wrong)


class FromMemory:
    """A prompt manager of a user's own."""

    def get_prompt(self, name: str, label: str | None = "production", version: int | None = None) -> TextPrompt:
        return TextPrompt(name, "{{who}}!", label=label or "production", version=version or 1)

    get_text_prompt = get_prompt

    def get_chat_prompt(self, name: str, label: str | None = "production", version: int | None = None) -> ChatPrompt:
        return ChatPrompt(name, [{"role": "user", "content": "{{who}}?"}])


async def test_a_users_own_manager_serves(prompts):
    """Whatever has the three methods is a prompt manager; no base class is needed."""
    own = FromMemory()

    @task(inject_context=True)
    async def hello(ctx: TaskExecutionContext):
        manager = ctx.prompt_manager
        return manager.get_prompt("x").render(who="A"), manager.get_chat_prompt("x").render(who="B")

    assert isinstance(own, PromptManager)
    assert isinstance(prompts, PromptManager)
    assert await Workflow("w", hello, prompt_manager=own).run() == ("A!", [{"role": "user", "content": "B?"}])


async def test_a_resumed_run_has_the_manager(prompts, tmp_path):
    """After a failure the run goes on, and its tasks, those of its child runs included, find the manager again."""
    broken = tmp_path / "broken"
    broken.touch()

    @task(inject_context=True)
    async def leaf(ctx: TaskExecutionContext):
        if broken.exists():
            raise OSError("the line is down")
        return ctx.prompt_manager.get_text_prompt("greet").render(who="again")

    inner = Workflow("inner", leaf)

    @task(inject_context=True)
    async def top(ctx: TaskExecutionContext):
        return await ctx.run_workflow(inner)

    wf = Workflow("resumed", top, prompt_manager=prompts)
    with pytest.raises(OSError, match="the line is down"):
        await wf.run(checkpoint_dir=tmp_path / "kept", run_id="r")
    broken.unlink()
    assert await wf.resume("r", checkpoint_dir=tmp_path / "kept") == "Hello again"
