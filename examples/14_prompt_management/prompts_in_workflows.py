"""A workflow with a prompt manager: its tasks find it in their context, or take it as a parameter.

The language model is a function of this file, so that the program runs anywhere and prints the same every time.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from graflow_async import SyncTaskExecutionContext, TaskExecutionContext, YAMLPromptManager, parallel, task, workflow

PROMPTS = Path(__file__).parent / "prompts"
MANAGER = YAMLPromptManager(PROMPTS)
REPORT = "Wind from the west. Waves of two metres. Ferries go as planned. The museum is closed."


def model(messages: list[dict[str, Any]]) -> str:
    """Stand for a language model: keep as many words of the text as the prompt allows."""
    prompt: str = messages[-1]["content"]
    limit = re.search(r"in (\d+) words", prompt)
    words = prompt.rpartition("\n\n")[2].split()
    return " ".join(words[: int(limit.group(1)) if limit else 5])


# -- plain functions ------------------------------------------------------------------------------------------

with workflow("summary", prompt_manager=MANAGER) as summary:

    @task(inject_context=True)
    def summarize(context: SyncTaskExecutionContext, text: str) -> str:
        """Render a prompt of the workflow's manager and ask the model."""
        prompt = context.prompt_manager.get_text_prompt("summarize")
        return model([{"role": "user", "content": prompt.render(text=text, max_words=4)}])


# -- coroutines -----------------------------------------------------------------------------------------------

with workflow("many", prompt_manager=MANAGER) as many:

    @task(inject_context=True)
    async def shorten(ctx: TaskExecutionContext, sentence: str) -> str:
        """Do the same for one sentence; children have the manager as well."""
        prompt = ctx.prompt_manager.get_text_prompt("summarize")
        return model([{"role": "user", "content": prompt.render(text=sentence, max_words=2)}])

    @task(inject_context=True)
    async def headlines(ctx: TaskExecutionContext, text: str) -> str:
        """Shorten all sentences at once."""
        return " / ".join(await ctx.map(shorten, text.split(". ")))

    @task
    async def greeting(prompt_manager: YAMLPromptManager, reader: str) -> str:
        """Take the manager as a parameter: no context is needed."""
        return prompt_manager.get_text_prompt("customer/welcome").render(name=reader)

    @task
    async def page(greeting: str, headlines: str) -> str:
        """Put the page together."""
        return f"{greeting}\n{headlines}"

    parallel(headlines, greeting, name="parts") >> page


async def main() -> None:
    """Load and check all prompts before the first run, then run."""
    async with MANAGER:
        print(await many.run(inputs={"text": REPORT, "reader": "Ada"}))


if __name__ == "__main__":
    print("=== Plain code ===")
    print(summary.execute(inputs={"text": REPORT}))
    print("\n=== Coroutines ===")
    asyncio.run(main())
