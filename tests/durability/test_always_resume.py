"""Random programs whose memory is lost after every k-th fact: they come to the end that the rules foretell."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from graflow_async import CheckpointError, CheckpointWriteError
from tests.aids.simloop import run_sim
from tests.durability.mortal import MortalCheckpointer
from tests.durability.parts import HANGS_AFTER, RUN
from tests.reference.build import MAX_STEPS, Building, PlannedError, Trial
from tests.reference.comparison import stop_of
from tests.reference.expected import Expected
from tests.reference.generator import PROFILES, Profile, random_program
from tests.reference.program import Program, Script

# With each length of a life; 500 programs in all are asked for at every commit.
SEEDS: dict[Profile, int] = {
    "dag": 20,
    "groups": 25,
    "dynamic": 22,
    "jumps": 25,
    "failures": 30,
    "stops": 20,
    "all": 30,
}
MOST_LIVES = 400


class Forgetful(Building):
    """Makes bodies that count their turns in the channel, where the turns of lives that were lost are undone."""

    def _body(self, name: str, script: Script) -> Any:
        async def body(ctx: Any) -> str:
            if ctx.attempt == 1:
                await ctx.channel.atomic_add(f"turns of {name}")
            turn = await ctx.channel.get(f"turns of {name}")
            for _ in range(script.pauses):
                await asyncio.sleep(0)
            return self._act(ctx, name, script.turn(turn))

        return body


def forgetful(program: Program) -> Program:
    """Give the program without inline tasks, which cannot wait for a channel."""
    return replace(program, scripts={name: replace(script, inline=False) for name, script in program.scripts.items()})


async def always_resumed(program: Program, facts: int) -> tuple[Trial, int]:
    """Run a program in lives of so many facts; give what came of it, and the number of lives."""
    trial = Trial()
    wf = Forgetful(program, trial).workflow()
    checkpointer = MortalCheckpointer(facts)
    options: Any = {"checkpointer": checkpointer, "validate": True}
    while checkpointer.lives < MOST_LIVES:
        # A life that was about to end in a failure is told anew without it, so one day they must be long enough.
        checkpointer.facts = facts + checkpointer.lives // 20
        try:
            async with asyncio.timeout(HANGS_AFTER):
                if checkpointer.lives:
                    trial.value = await wf.resume(RUN, **options)
                else:
                    bounds: Any = {"max_concurrency": program.max_concurrency, "max_steps": MAX_STEPS}
                    trial.value = await wf.run(program.start, run_id=RUN, **bounds, **options)
        except CheckpointWriteError:
            continue
        except (CheckpointError, AssertionError):
            raise
        except Exception as error:
            trial.error = error
            # It may come from the records: then it is not the very object that a body raised.
            trial.raised = {id(error): error.args[0]} if isinstance(error, PlannedError) else {}
        names = program.drawn_ids() | set(program.scripts)
        trial.results = {name: found for name in names if (found := wf.get_result(name)) is not None}
        return trial, checkpointer.lives
    message = f"no end after {MOST_LIVES} lives"
    raise AssertionError(message)


def complaints(expected: Expected, trial: Trial) -> list[str]:
    """List what is not as foretold."""
    if expected.stops:
        happened = stop_of(expected, trial)
        if happened not in list(expected.stops):  # a value need not be hashable
            return [f"ended with {happened} instead of one of {sorted(map(str, expected.stops))}"]
        return []
    if trial.error is not None:
        return [f"failed with {trial.error!r}"]
    wrong = [] if expected.value == trial.value else [f"value {trial.value!r} instead of {expected.value!r}"]
    for task_id, value in expected.results.items():
        if trial.results.get(task_id) != value:
            wrong.append(f"result of {task_id} is {trial.results.get(task_id)!r} instead of {value!r}")
    return wrong


@pytest.mark.parametrize("facts", [1, 2, 5])
@pytest.mark.parametrize("profile", PROFILES)
def test_programs_survive_losing_memory_all_the_time(profile: Profile, facts: int):
    """Whatever is drawn, scripted and stopped: lives of one, two or five facts come to the foretold end."""
    wrong: list[str] = []
    lives = 0
    for seed in range(SEEDS[profile]):
        program, expected = random_program(seed, profile)
        program = forgetful(program)
        try:
            trial, number = run_sim(lambda: always_resumed(program, facts), seed)  # noqa: B023  # it runs at once
            found, lives = complaints(expected, trial), lives + number
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        if found:
            wrong.append(f"random_program({seed}, {profile!r}), run_sim seed {seed}: {'; '.join(found)}")
    assert not wrong, "\n".join([f"{len(wrong)} programs:", *wrong])
    assert lives > SEEDS[profile] / 2, "nobody ever died"
