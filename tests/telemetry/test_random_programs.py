"""Random programs with a listener that traces them: they do what they do without, and no span is lost or left open."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from graflow_async import events
from graflow_async.options import EVERYWHERE
from graflow_async.telemetry import instrument, uninstrument
from tests.reference.build import perform
from tests.reference.comparison import differences, report
from tests.reference.generator import PROFILES, Profile, random_program
from tests.telemetry.aids import Heard, about, context

SEEDS = 25


class Starts:
    """Counts the bodies that begin, as listeners are told."""

    wants = (events.TaskStarted, events.RunStarted)

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()

    def on_event(self, event: Any) -> None:
        """Count one."""
        self.count[type(event).__name__] += 1


@pytest.mark.near  # it looks at the order of starts, turn by turn of the loop
@pytest.mark.parametrize("profile", PROFILES)
async def test_no_span_is_lost(profile: Profile) -> None:
    """Each body that begins has one span with an end and a parent that is known; programs end as they should."""
    for seed in range(1000, 1000 + SEEDS):
        heard, starts = Heard(), Starts()
        instrument(heard.telemetry)
        EVERYWHERE.append(starts)
        try:
            program, expected = random_program(seed, profile)
            trial = await perform(program)
        finally:
            uninstrument()
            EVERYWHERE.remove(starts)
        title = f"random_program({seed}, {profile!r})"
        found = differences(program, expected, trial)
        assert not found, report(title, program, expected, trial, found)
        spans = heard.spans
        runs = [span for span in spans if span.name.startswith("run ") and span.parent is None]
        bodies = [span for span in spans if "graflow.task.attempt" in about(span)]
        assert (len(runs), len(bodies)) == (starts.count["RunStarted"], starts.count["TaskStarted"]), title
        known = {context(span).span_id for span in spans}
        assert all(span.parent is None or span.parent.span_id in known for span in spans), title
        assert all("graflow.outcome" in about(span) and span.end_time is not None for span in spans), title
        assert len({context(span).trace_id for span in spans}) == len(runs), title
        assert set(heard.points("graflow.task.active").values()) <= {0}, title
        heard.close()
