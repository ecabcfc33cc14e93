"""The work of the web service: texts are shortened paragraph by paragraph, articles are published if an editor agrees.

Nothing here knows of HTTP; the same workflows run in a script or a test.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from graflow_async import TaskExecutionContext, Workflow, task


class Model(Protocol):
    """What shortens a paragraph: a language model somewhere, or a stand-in."""

    async def shorten(self, paragraph: str) -> str:
        """Give the paragraph in one sentence."""
        ...


class FirstSentence:
    """A stand-in for a language model, which would also take its time: a millisecond per word here."""

    async def shorten(self, paragraph: str) -> str:
        """Give the first sentence."""
        await asyncio.sleep(len(paragraph.split()) / 1000)
        return paragraph.partition(". ")[0].rstrip(".") + "."


class NothingToSummariseError(ValueError):
    """The text has no words."""


@task
def split(text: str) -> list[str]:
    """Take a text apart, at its empty lines.

    Raises:
        NothingToSummariseError: there are no words in it.
    """
    found = [part.strip() for part in text.split("\n\n") if part.strip()]
    if not found:
        raise NothingToSummariseError("there is nothing to summarise")
    return found


@task(max_retries=1)
async def shorten(paragraph: str, model: Model) -> str:
    """Let the model shorten one paragraph."""
    return await model.shorten(paragraph)


@task
def join(shorten: list[str]) -> str:
    """Put the sentences together."""
    return " ".join(shorten)


@task
async def review(ctx: TaskExecutionContext, join: str) -> bool:
    """Ask an editor; the run waits for the answer, and no thread and no slot waits with it."""
    return await ctx.request_approval(f"Publish this? {join}")


@task
def publish(join: str, review: bool) -> dict[str, str]:  # noqa: FBT001  # named after the task that gives it
    """Publish what the editor has agreed to."""
    return {"text": join, "state": "published" if review else "rejected"}


def workflows(model: Model) -> tuple[Workflow, Workflow]:
    """Make the workflows for a model: the one that shortens a text, and the one that publishes what came of it."""
    shortening = split >> shorten.map().with_execution(max_concurrency=4) >> join
    summary = Workflow("summary", shortening)
    article = Workflow("article", shortening >> review >> publish)
    for made in (summary, article):
        made.provide("model", model)
    return summary, article
