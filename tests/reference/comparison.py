"""A real run against the record of what it must and may do; each difference is one sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from graflow_async import CycleLimitExceededError, GraflowWorkflowCanceledError, ParallelGroupError
from tests.reference.build import Entry, Trial
from tests.reference.expected import Expected, Key, Stop
from tests.reference.program import Program, definitions


def differences(program: Program, expected: Expected, trial: Trial) -> list[str]:
    """List everything that is not as it must be."""
    return [
        *_ending(expected, trial),
        *_counts(expected, trial),
        *_results(program, expected, trial),
        *_order(expected, trial),
        *_tidiness(program, expected, trial),
    ]


def _ending(expected: Expected, trial: Trial) -> Iterator[str]:
    """Compare how the run ended."""
    if not expected.stops:
        if trial.error is not None:
            yield f"the run failed with {trial.error!r}"
        elif expected.value != trial.value:
            yield f"value {trial.value!r} instead of {expected.value!r}"
        if trial.status != "completed":
            yield f"status {trial.status!r} instead of 'completed'"
        for task_id in expected.tolerated - trial.failures.keys():
            yield f"run.failures does not have {task_id}"
        return
    happened = stop_of(expected, trial)
    if happened not in list(expected.stops):  # a value need not be hashable
        yield f"ended with {happened} instead of one of {sorted(map(str, expected.stops))}"
        return
    status = {"terminated": "completed", "cancelled": "cancelled"}.get(happened.kind, "failed")
    if trial.status != status:
        yield f"status {trial.status!r} instead of {status!r}"


def stop_of(expected: Expected, trial: Trial) -> Stop:
    """Say which stop a run's end looks like; an error counts only as the very object that a body raised."""
    error = trial.error
    if error is None:
        found = (s for s in expected.stops if s.kind == "terminated" and s.value == trial.value)
        return next(found, Stop("completed", "-", trial.value))
    if isinstance(error, ParallelGroupError):
        return Stop("group failed", error.group_id)
    if isinstance(error, GraflowWorkflowCanceledError):
        return Stop("cancelled", str(error.task_id))
    if isinstance(error, CycleLimitExceededError):
        return Stop("failed", str(error.task_id))
    return Stop("failed", trial.raised.get(id(error), repr(error)))


def _counts(expected: Expected, trial: Trial) -> Iterator[str]:
    """Compare how often each body started; turns of tasks that are reached several times are not told apart."""

    def plain(key: Key) -> Key:
        return (key[0], 0, key[2]) if key[0] in expected.revisited else key

    least: Counter[Key] = Counter()
    most: Counter[Key] = Counter()
    for key, number in expected.most.items():
        most[plain(key)] += number
        least[plain(key)] += expected.least[key]
    seen = Counter(plain((e.task_id, e.cycle, e.attempt)) for e in trial.log if e.phase == "start")
    for key in sorted(most.keys() | seen.keys()):
        if not least[key] <= seen[key] <= most[key]:
            turn = f" turn {key[1]}" if key[1] else ""
            yield f"{key[0]}{turn} attempt {key[2]} ran {seen[key]} times instead of {least[key]}..{most[key]}"


def _results(program: Program, expected: Expected, trial: Trial) -> Iterator[str]:
    """Compare results by id; there is none of a task that did not run."""
    if not expected.stops:
        for task_id, value in sorted(expected.results.items()):
            if task_id not in trial.results:
                yield f"no result of {task_id}"
            elif trial.results[task_id] != value:
                yield f"result of {task_id} is {trial.results[task_id]!r} instead of {value!r}"
    possible = set(expected.counts())
    for task_id in sorted(trial.results.keys() & program.scripts.keys() - possible):
        yield f"a result of {task_id}, which cannot have run"


def _order(expected: Expected, trial: Trial) -> Iterator[str]:
    """Check happens-before, and the start order of what became ready together."""
    ended: Counter[str] = Counter()
    before: dict[str, list[Counter[str]]] = defaultdict(list)
    first: dict[str, int] = {}
    for position, entry in enumerate(trial.log):
        if entry.phase == "start":
            before[entry.task_id].append(ended.copy())
            first.setdefault(entry.task_id, position)
        elif entry.phase == "end":
            ended[entry.task_id] += 1
    for (earlier, later), numbers in sorted(expected.needs.items()):
        for number, (needed, snapshot) in enumerate(zip(numbers, before[later], strict=False), 1):
            if snapshot[earlier] < needed:
                yield f"start {number} of {later} came after {snapshot[earlier]} ends of {earlier} instead of {needed}"
                break
    for order in sorted(expected.orders):
        started = [task_id for task_id in order if task_id in first]
        if started != sorted(started, key=first.__getitem__):
            yield f"{started} became ready together and started as {sorted(started, key=first.__getitem__)}"


def _tidiness(program: Program, expected: Expected, trial: Trial) -> Iterator[str]:
    """Check limits, that a stop stops, and that nothing of the run is left when it has ended."""
    if program.max_concurrency and trial.peak > program.max_concurrency:
        yield f"{trial.peak} bodies ran at once, {program.max_concurrency} were allowed"
    if trial.active:
        yield f"{trial.active} bodies were still running at the end"
    stop = stop_of(expected, trial)
    if stop.kind in {"terminated", "cancelled"} and stop.id not in expected.revisited:
        last = max((position for position, entry in enumerate(trial.log) if entry.task_id == stop.id), default=0)
        started = [entry for entry in trial.log[last:] if entry.phase == "start"]
        if started:
            yield f"started after {stop.id} had stopped the run: {_shown(started)}"
    if trial.late:
        yield f"bodies went on after the end: {_shown(trial.late)}"


def _shown(entries: list[Entry]) -> str:
    return " ".join(f"{entry.task_id}:{entry.phase}" for entry in entries)


def report(title: str, program: Program, expected: Expected, trial: Trial, found: list[str]) -> str:
    """Write a mismatch down so that it can be repeated and read."""
    groups = sum(len(definitions(expr)) for expr in program.drawn)
    head = f"{title}: {len(found)} differences, {len(program.scripts)} tasks, {groups} groups"
    parts = ["", head, *(f"  * {line}" for line in found), "program", program.describe()]
    return "\n".join([*parts, "expected", expected.describe(), "happened", trial.describe()])
