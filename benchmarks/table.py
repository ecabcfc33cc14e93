"""The report for a terminal: plain text, one row per measure, one table for the peers."""

from __future__ import annotations

from benchmarks.plan import FLOOR, OURS
from benchmarks.results import RATIO, Measure


def number(value: float | None) -> str:
    """Format a figure with three significant digits, and nothing as a dash."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio(value: float | None) -> str:
    """Format a ratio with its sign."""
    return "-" if value is None else f"{number(value)}x"


def _lay_out(header: list[str], lines: list[list[str]], left: int) -> str:
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]

    def one(line: list[str]) -> str:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([one(header), "  ".join("-" * width for width in widths), *map(one, lines)])


def _row(row: Measure) -> list[str]:
    size = f"{row.size:,}" if row.size > 1 else ""
    spread = f"{number(min(row.ratios))}..{number(max(row.ratios))}" if row.ratios else ""
    must = "" if row.must is None else (ratio(row.must) if row.kind == RATIO else number(row.must))
    ours = "failed" if row.error else number(row.middle(OURS))
    judged = ratio(row.value) if row.kind == RATIO else ""
    build = "" if row.build is None else number(row.build)
    with_build = "" if row.with_build is None else ratio(row.with_build)
    return [
        row.key,
        size,
        row.unit,
        number(row.middle(FLOOR)),
        ours,
        judged,
        spread,
        must,
        row.verdict,
        build,
        with_build,
    ]


def main_table(rows: list[Measure]) -> str:
    """Return the table of ours against the floor.

    `ratio` is the median of the rounds' ratios and `spread` their range; rows without one are judged by our own figure.
    """
    header = ["scenario", "N", "unit", FLOOR, OURS, "ratio", "spread", "must", "", "build µs/task", "with build"]
    text = _lay_out(header, [_row(row) for row in rows], 3)
    errors = [f"{row.key} N={row.size:,}: {row.error}" for row in rows if row.error]
    return "\n".join([text, *errors])


def redis_table(rows: list[Measure], versions: dict[str, str | None]) -> str:
    """Return the table of queues over Redis: µs per job of each, and the CPU time of its processes.

    `rows` are those of `redis.peers`; without them the table is empty.
    """
    columns = [row for row in rows if row.key.startswith("redis.peers")]
    if not columns or columns[0].error:
        return ""
    whole = columns[0]
    ours = whole.middle(OURS)
    lines: list[list[str]] = []
    for side in [*whole.samples, *(side for side in whole.absent if side not in whole.samples)]:
        value = whole.middle(side)
        times = ratio(value / ours) if value and ours else whole.absent.get(side, "-")
        lines.append([side, versions.get(side) or "", *(number(row.middle(side)) for row in columns), times])
    header = [f"{whole.size:,} jobs over Redis", "", "µs/job", "driver CPU", "worker CPU", "server CPU", "to ours"]
    return _lay_out(header, lines, 2)


def peer_table(names: list[str], cells: dict[tuple[str, int], dict[str, str]]) -> str:
    """Return the table of ratios to the floor at the peers' sizes; `cells` is (case, N) -> side -> text."""
    header = ["ratio to floor", "N", *names]
    lines = [
        [case, f"{size:,}" if size > 1 else "", *(found.get(name, "-") for name in names)]
        for (case, size), found in cells.items()
    ]
    return _lay_out(header, lines, 2)
