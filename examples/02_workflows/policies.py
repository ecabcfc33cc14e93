"""Policies: what the failure of one member means for its group."""

from __future__ import annotations

import asyncio
import csv
import json
from datetime import date
from typing import TYPE_CHECKING, Any

from graflow_async import MemberResult, ParallelGroupError, Task, Workflow, at_least, critical, parallel, task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@task(executor="inline")
def from_json(text: str) -> int:
    """Read the quantity from a JSON object; inline, as a few bytes are not worth the way to a thread."""
    return int(json.loads(text)["quantity"])


@task(executor="inline")
def from_csv(text: str) -> int:
    """Read the quantity from the second column of a CSV line."""
    return int(next(csv.reader([text]))[1])


@task(executor="inline")
def from_end(text: str) -> int:
    """Read the quantity from what stands behind the last comma."""
    return int(text.rsplit(",", maxsplit=1)[-1])


READERS: list[Task[Any, Any]] = [from_json, from_csv, from_end]


async def show(title: str, policy: Any, text: str) -> None:
    """Let all readers try one text under a policy and print what became of the group."""
    wf = Workflow("readers", parallel(*READERS, policy=policy))
    try:
        print(f"{title}: passed with {await wf.run(inputs={'text': text})}")
    except ParallelGroupError as error:
        print(f"{title}: failed, because of {', '.join(error.failed)}")


async def show_strict() -> None:
    """Look into the error of a strict group; it is an ExceptionGroup, so `except*` takes it apart."""

    @task
    def leap_day() -> date:
        return date(2023, 2, 29)

    try:
        await Workflow("dates", parallel(leap_day)).run()
    except* ValueError as group:
        print("strict: the cause was a", type(group.exceptions[0]).__name__)


class SameAnswer:
    """A rule of one's own: those that could read the text must agree."""

    def on_group_finished(
        self, group_id: str, members: Sequence[str], results: Mapping[str, MemberResult], ctx: Any
    ) -> None:
        """Fail the group by raising.

        Raises:
            ValueError: two members read different quantities.
        """
        del members, ctx
        answers = {result.value for result in results.values() if result.error is None}
        if len(answers) > 1:
            message = f"{group_id} found different quantities"
            raise ValueError(message)


async def show_own_rule() -> None:
    """Fail a group by a rule that looks at all results."""
    wf = Workflow("readers", parallel(*READERS, policy=SameAnswer()).set_group_name("readers"))
    try:
        await wf.run(inputs={"text": "apples,5,6"})
    except ParallelGroupError as error:
        print(f"a rule of one's own: failed with {error.exceptions[-1]} from {error.successful}")


async def main() -> None:
    """Try every policy."""
    await show_strict()
    await show("best_effort", "best_effort", "apples,5")
    await show("first", "first", "apples,5")
    await show("first, none fits", "first", "apples")
    await show("at_least(1)", at_least(1), '{"quantity": 7}')
    await show("at_least(2)", at_least(2), "7")
    await show("critical, fits", critical(["from_end"]), "12")
    await show("critical, does not fit", critical(["from_json"]), "12")
    await show("a rule of one's own", SameAnswer(), "apples,8")
    await show_own_rule()


if __name__ == "__main__":
    asyncio.run(main())
