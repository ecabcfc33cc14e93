"""A run that is killed at random instants, again and again, ends as one that was never killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.durability.killed import CONCURRENCY, PARENTS

ROOT = Path(__file__).resolve().parents[2]


def kill(
    place: Path, seed: int, kills: int, durability: str = "process", patience: float = 300
) -> list[dict[str, Any]]:
    """Let killed.py work in a process of its own, and give what it tells."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.durability.killed", str(place), str(seed), str(kills), durability],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(story: list[dict[str, Any]], kills: int, title: str) -> dict[str, int]:
    """Check every promise about kills; give sums for the record."""
    clean = story[0]
    lives = [line for line in story if line["what"] == "life"]
    finished = [line for line in story if line["what"] == "end"]
    assert sum(line["killed"] for line in lives) >= kills, title
    assert clean["bodies"] >= 500
    for line in finished:
        assert line["value"] == clean["value"], f"{title}, run {line['run']}: {line['value']} != {clean['value']}"
    for line in lives:
        assert not line["recorded and run again"], f"{title}: {line}"
        in_flight = set(line["begun and not recorded"]) - PARENTS
        assert len(in_flight) <= CONCURRENCY, f"{title}: {line}"
        assert set(line["run again"]) <= set(line["begun and not recorded"]), f"{title}: {line}"
    return {"kills": sum(line["killed"] for line in lives), "repeats": sum(len(line["run again"]) for line in lives)}


def test_killed_a_few_times(tmp_path: Path):
    """SIGKILL at a random instant: equal result, exact counters, nothing recorded runs again, few repeats."""
    seed = 7
    sums = check(kill(tmp_path, seed, 12), 12, f"seed {seed}")
    assert sums["kills"] >= 12


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_killed_two_hundred_times(seed: int, tmp_path: Path):
    """The same fifty times for each of four seeds."""
    sums = check(kill(tmp_path, seed, 50, patience=600), 50, f"seed {seed}")
    print(f"seed {seed}: {sums}")  # noqa: T201  # seeds are told


@pytest.mark.long
@pytest.mark.slow
def test_killed_with_fsync(tmp_path: Path):
    """The same where each record waits for the disk."""
    seed = 5
    check(kill(tmp_path, seed, 8, "fsync", patience=600), 8, f"seed {seed}, fsync")
