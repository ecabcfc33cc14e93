"""A child process that measures one case: sides in turn, round after round, and prints the samples as JSON.

Every case gets a process of its own, so that one case's garbage, threads or crash cannot touch another's numbers.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.plan import FLOOR, OURS
from benchmarks.probes import Sample
from benchmarks.processes import PROCESS_CASES, run_child
from benchmarks.redis_peers import REDIS_PEERS
from benchmarks.redis_peers.side import side as redis_side

MODULES = {FLOOR: "benchmarks.floor", OURS: "benchmarks.ours"}
WARM_UP = 100
NOT_APPLICABLE = "not applicable"


def load_side(name: str) -> Any:
    """Import the module that knows how `name` does the scenarios.

    Raises:
        ImportError: The product of that side is not installed.
    """
    if name in REDIS_PEERS:
        return redis_side(name)
    return importlib.import_module(MODULES.get(name, f"benchmarks.peers.{name}"))


def measure(case: str, size: int, rounds: int, names: list[str]) -> dict[str, Any]:
    """Run one case: a small unrecorded run of each side, then `rounds` times one run of each, in turn.

    Returns:
        `samples`: side -> one Sample per round; `errors`: side -> why it stopped.
    """
    errors: dict[str, str] = {}
    samples: dict[str, list[Sample]] = {name: [] for name in names}

    def attempt(name: str, count: int) -> Sample | None:
        try:
            side = load_side(name)
            if case in PROCESS_CASES:
                return PROCESS_CASES[case](side)
            if case not in side.SCENARIOS:
                errors[name] = NOT_APPLICABLE
                return None
            gc.collect()
            return asyncio.run(side.SCENARIOS[case](count))
        except Exception as error:  # noqa: BLE001 - whatever a side raises is its result; the others go on
            errors[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            return None

    for name in names:
        attempt(name, min(size, WARM_UP))
    for _ in range(rounds):
        for name in names:
            if name not in errors:
                sample = attempt(name, size)
                if sample is not None:
                    samples[name].append(sample)
    return {"samples": samples, "errors": errors}


def measure_apart(case: str, size: int, rounds: int, names: list[str], deadline: float) -> dict[str, Any]:
    """Run `measure` in a child process.

    Raises:
        ChildError: The child did not deliver.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        run_child(["-m", "benchmarks.worker", case, str(size), str(rounds), ",".join(names), str(answer)], deadline)
        return json.loads(answer.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> None:
    """Measure what the command line says and leave the answer in the file it names."""
    case, size, rounds, names, answer = arguments
    found = measure(case, int(size), int(rounds), names.split(","))
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
