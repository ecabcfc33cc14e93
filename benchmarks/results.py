"""From samples to measures: medians, ratios of each round, and the verdict against a bar."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.plan import FLOOR, GROWTH, MUSTS, OURS, Case
from benchmarks.probes import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

RATIO = "ratio"
ABSOLUTE = "absolute"


@dataclass
class Measure:
    """One row: a quantity of both sides, and the one number that a bar judges.

    `kind` says which: the median of the ratios to the floor, taken round by round, or our own median. `absent` says of
    sides that were not measured why.
    """

    key: str
    size: int
    unit: str
    kind: str
    samples: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    ratios: list[float] = field(default_factory=list[float])
    absent: dict[str, str] = field(default_factory=dict[str, str])
    build: float | None = None
    with_build: float | None = None
    must: float | None = None
    error: str | None = None

    @property
    def value(self) -> float | None:
        """The number that is judged, or None if there is none."""
        if self.error:
            return None
        if self.kind == RATIO:
            return median(self.ratios) if self.ratios else None
        return self.middle(OURS)

    @property
    def verdict(self) -> str:
        """`ok`, `missed`, or nothing where no bar stands."""
        if self.must is None:
            return ""
        value = self.value
        return "ok" if value is not None and value <= self.must else "missed"

    def middle(self, side: str) -> float | None:
        """Return the median of one side, or None if it was not measured."""
        return median(self.samples[side]) if self.samples.get(side) else None

    def as_json(self) -> dict[str, Any]:
        """Return the row as plain JSON values, derived numbers included."""
        medians = {side: median(values) for side, values in self.samples.items() if values}
        return {**asdict(self), "medians": medians, "value": self.value, "verdict": self.verdict}


def _column(found: list[Sample], read: Callable[[Sample], float]) -> list[float]:
    return [read(sample) for sample in found]


def _measure(
    key: str,
    size: int,
    unit: str,
    kind: str,
    samples: dict[str, list[Sample]],
    read: Callable[[Sample], float],
) -> Measure:
    columns = {side: _column(found, read) for side, found in samples.items()}
    row = Measure(key, size, unit, kind, columns)
    if kind == RATIO and columns.get(FLOOR) and columns.get(OURS):
        row.ratios = [ours / floor for floor, ours in zip(columns[FLOOR], columns[OURS], strict=False)]
    return row


def _with_build(row: Measure, size: int, samples: dict[str, list[Sample]]) -> None:
    """Add the time to build a static graph (µs per task), and the ratio that would count it."""
    ours, floor = samples.get(OURS, []), samples.get(FLOOR, [])
    if ours and "build" in ours[0]:
        row.build = median(sample["build"] for sample in ours) / size * 1e6
        both = zip(floor, ours, strict=False)
        row.with_build = median((o["seconds"] + o["build"]) / (f["seconds"] + f["build"]) for f, o in both)


def _rounded_bytes(name: str) -> Callable[[Sample], float]:
    # Memory is given out in pages: less than half a byte per task is no growth that could be told from none.
    return lambda sample: float(round(sample[name]))


def _microseconds(name: str) -> Callable[[Sample], float]:
    return lambda sample: sample[name] * 1e6


def best_peer(row: Measure) -> str | None:
    """Return the peer with the smallest median of a row, None if it has no peers."""
    peers = [side for side, values in row.samples.items() if side not in (FLOOR, OURS) and values]
    return min(peers, key=lambda side: median(row.samples[side]), default=None)


def _against_the_best(row: Measure) -> None:
    """Judge ours by the best of the peers, not by the floor."""
    best = best_peer(row)
    row.ratios = []
    if best is not None and row.samples.get(OURS):
        row.ratios = [ours / peer for ours, peer in zip(row.samples[OURS], row.samples[best], strict=False)]


def measures_of(case: Case, size: int, samples: dict[str, list[Sample]]) -> list[Measure]:
    """Turn the samples of one case into its rows."""
    name = case.name
    if name.startswith("map.memory"):
        return [_measure(name, size, "MB", ABSOLUTE, samples, lambda sample: sample["peak"] / 1e6)]
    if case.where == "memory":
        rows = [_measure(name, size, "B", ABSOLUTE, samples, _rounded_bytes("kept"))]
        if name == "memory.finished":
            rows.append(_measure(f"{name}.peak", size, "B", ABSOLUTE, samples, _rounded_bytes("peak")))
        return rows
    if name == "fanlag":
        return [
            _measure(name, size, "ms", ABSOLUTE, samples, lambda sample: sample["gap"] * 1e3),
            _measure(f"{name}.beyond", size, "ms", ABSOLUTE, samples, lambda s: (s["gap"] - s["body"]) * 1e3),
        ]
    if name == "questions":
        return [_measure(name, size, "ms", ABSOLUTE, samples, lambda sample: sample["latency"] * 1e3)]
    if name == "ckpt.lag":
        return [_measure(name, size, "ms", ABSOLUTE, samples, lambda sample: sample["gap"] * 1e3)]
    if name == "ckpt.fold":
        return [_measure(name, size, "ms", ABSOLUTE, samples, lambda sample: sample["seconds"] * 1e3)]
    scale, unit = (1e6 / size, "µs/task") if case.per_body else (1e3, "ms")
    rows = [_measure(name, size, unit, RATIO, samples, lambda sample: sample["seconds"] * scale)]
    _with_build(rows[0], size, samples)
    if name.startswith("mixed"):
        rows.append(_measure(f"{name}.lag", size, "ms", ABSOLUTE, samples, lambda sample: sample["lag"] * 1e3))
    if name in ("ckpt", "ckpt.sync"):
        rows.append(_measure(f"{name}.open", size, "ms", ABSOLUTE, samples, lambda sample: sample["open"] * 1e3))
    if name == "ckpt":
        rows.append(_measure(f"{name}.bytes", size, "B", ABSOLUTE, samples, _rounded_bytes("bytes")))
    if name.split(".")[0] == "redis":
        if name == "redis.peers":
            _against_the_best(rows[0])
        for who in ("driver", "worker", "server"):
            rows.append(_measure(f"{name}.cpu.{who}", size, "µs/task", ABSOLUTE, samples, _microseconds(f"cpu.{who}")))
    if name == "cold":
        rows.append(_measure(f"{name}.peak", size, "MB", ABSOLUTE, samples, lambda sample: sample["peak"] / 1e6))
    return rows


def growth_of(rows: list[Measure]) -> list[Measure]:
    """Return how much dearer a task is at a scenario's larger size than at its smaller, where both were measured."""
    found: list[Measure] = []
    for name, (few, many) in GROWTH.items():
        measured = {row.size: row for row in rows if row.key == name and not row.error}
        small, large = measured.get(few), measured.get(many)
        if small is None or large is None:
            continue
        growth = Measure(f"{name}.growth", large.size, "times", ABSOLUTE)
        for side in (FLOOR, OURS):
            low, high = small.middle(side), large.middle(side)
            if low and high:
                growth.samples[side] = [high / low]
        found.append(growth)
    return found


def failed(case: Case, size: int, error: str) -> list[Measure]:
    """Return the row of a case that could not be measured."""
    return [Measure(case.name, size, "", RATIO, error=error)]


def apply_musts(rows: list[Measure], overrides: dict[str, float], *, every_size: bool) -> None:
    """Give each row its bar: at the sizes where it counts, or at every size if the user chose the sizes."""
    for row in rows:
        bar = MUSTS.get(row.key)
        if bar is not None and (every_size or not bar.sizes or row.size in bar.sizes):
            row.must = overrides.get(row.key, bar.limit)
        elif row.key in overrides:
            row.must = overrides[row.key]
