"""Bad input: each row of the table has its named error, which says what to do, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.runtime import bad_definitions, bad_runs
from tests.runtime.bad_table import CASES

FULL_TABLE = 80


def test_the_table_is_complete():
    """The rows of both modules are in the one table."""
    assert bad_definitions.__name__ != bad_runs.__name__
    assert len(CASES) >= FULL_TABLE


@pytest.mark.parametrize(("code", "error", "words"), CASES)
async def test_bad_input(code, error, words):
    """Bad input ends with a named error that says what to do next, and nothing is left behind."""
    tasks = asyncio.all_tasks()
    with pytest.raises(error) as caught:
        await code()
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert asyncio.all_tasks() == tasks
    for thread in threading.enumerate():
        if thread.name == "graflow-loop-watch":
            thread.join(60)  # it ends by itself, a moment after the last run that it looks at
    assert [t.name for t in threading.enumerate() if t.name.startswith("graflow")] == []
