"""The story of a recorded run, told from its journal: the same spans that a handle shows of a run that goes on."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ._runtime.history import History, opening_of
from ._runtime.told import Told
from .checkpointer import Record
from .critical_path import critical_path
from .errors import GraphChangedError
from .explanation import Explanation, explain
from .fingerprint import graph_changes, shape_of
from .resume import Subject, fresh, kept_of, recorded_subject
from .story import Span, Story
from .watching import held_up

if TYPE_CHECKING:
    from collections.abc import Callable


class RecordedStory(NamedTuple):
    """What a journal tells of a run.

    Attributes:
        story: its spans.
        history: the run as it stood at the end of the journal.
        since: what came before this moment was put together, and is not known any more; None if everything is.
    """

    story: Story
    history: History
    since: float | None

    def timeline(self) -> list[Span]:
        """List the spans, in the order of being queued; see `Run.timeline`.

        A journal does not tell when a body began, but when it might.
        """
        return list(self.story.spans)

    def critical_path(self) -> list[Span]:
        """Give the spans that determined when the run ended; see `Run.critical_path`."""
        return critical_path(self.story)

    def explain(self, task: str | int) -> Explanation:
        """Say why a task ran when it did, or why it has not begun; see `Run.explain`.

        Raises:
            ConfigError: there is no such task; the message names the nearest ids.
        """
        now = self.history.at if self.story.ended_at is None else self.story.ended_at
        held: Callable[[int], str] = partial(held_up, self.history.state)
        return explain(self.story, task, self.history.decoder.graph, now, held, self.history.state.root.results)


async def recorded_story(records: list[Record], subject: Subject | None = None) -> RecordedStory:
    """Tell the story of a recorded run, in a thread.

    Args:
        records: everything that was recorded.
        subject: the workflow; None for the one that was recorded.

    Raises:
        CheckpointError: the records cannot be read here, or the workflow is not the recorded one.
    """
    opening = opening_of(records)
    if subject is None:
        subject = recorded_subject(opening, None, is_told_only=True)
    changes = graph_changes(opening.shape, shape_of(subject.graph))
    if changes:
        raise GraphChangedError(f"the workflow has changed: {'; '.join(changes)}", changes)
    history = fresh(opening, subject, None, kept_of(records))
    story = Story()
    told = Told(opening.header["run_id"], opening.header["workflow"], opening.header["created_at"], [story])
    history.fold.tell_to(told)
    await asyncio.to_thread(history.tell, records)
    return RecordedStory(story, history, told.since)
