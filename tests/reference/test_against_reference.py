"""Random programs, run for real and compared with the naive interpreter."""

from __future__ import annotations

import pytest

from tests.reference.build import perform
from tests.reference.comparison import differences, report
from tests.reference.generator import PROFILES, Profile, random_program

SEEDS = {"dag": 150, "groups": 200, "dynamic": 150, "jumps": 350, "failures": 300, "stops": 200, "all": 350}
BLOCK = 50


def blocks() -> list[tuple[Profile, int]]:
    return [(profile, first) for profile in PROFILES for first in range(0, SEEDS[profile], BLOCK)]


@pytest.mark.parametrize(("profile", "first"), blocks())
async def test_runs_agree_with_the_interpreter(profile: Profile, first: int) -> None:
    """Whatever is drawn, scripted and stopped: the run does what the rules say, in an order they allow."""
    for seed in range(first, first + BLOCK):
        program, expected = random_program(seed, profile)
        trial = await perform(program)
        found = differences(program, expected, trial)
        assert not found, report(f"random_program({seed}, {profile!r})", program, expected, trial, found)


def test_a_seed_always_names_the_same_program() -> None:
    """A mismatch can be repeated from its seed."""
    for profile in PROFILES:
        assert random_program(7, profile) == random_program(7, profile)
        assert random_program(7, profile)[0] != random_program(8, profile)[0]
