"""The benchmarks as a tool: what they print, write and judge. How fast anything is, is never asserted here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from benchmarks.chart import draw
from benchmarks.cli import missed_lines, run_peers
from benchmarks.plan import CASES, FLOOR, MUSTS, OURS, PEERS, find_cases
from benchmarks.processes import run_child
from benchmarks.redis_peers import REDIS_PEERS
from benchmarks.results import RATIO, Measure, apply_musts, growth_of, measures_of
from benchmarks.table import main_table, redis_table
from benchmarks.worker import measure
from tests.aids import warm

if TYPE_CHECKING:
    import subprocess

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"
TIMED = [case.name for case in CASES if case.where == "timed" and not case.name.startswith("redis")]
OVER_REDIS = [case.name for case in CASES if case.where == "timed" and case.name.startswith("redis")]


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = ["-m", "benchmarks", "--quick", "--peers", "none", *arguments]
    return warm.run(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=240)


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own output, written a moment ago


def labels(svg: str) -> list[tuple[float, float, float, float]]:
    """Return the boxes of all texts: left, top, right, bottom, at a generous width per letter."""
    boxes: list[tuple[float, float, float, float]] = []
    for text in parse(svg).iter(f"{SVG}text"):
        size = float(text.attrib["font-size"])
        width = len(text.text or "") * size * 0.58
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        left = {"start": x, "middle": x - width / 2, "end": x - width}[text.attrib["text-anchor"]]
        boxes.append((left, y - size * 0.8, left + width, y + size * 0.2))
    return boxes


def ratio_row(key: str, size: int, value: float, must: float | None = None) -> Measure:
    return Measure(key, size, "ms", RATIO, {FLOOR: [1.0], OURS: [value]}, [value], must=must)


def test_a_quick_run_prints_a_table_and_writes_json_and_svg(tmp_path: Path):
    """A short run of one scenario leaves a readable table, a complete document and a chart that parses."""
    document_file, chart_file = tmp_path / "out.json", tmp_path / "out.svg"
    done = run_benchmarks(
        "--only", "loop", "--n", "40", "--rounds", "3", "--json", str(document_file), "--svg", str(chart_file)
    )
    assert done.returncode == 0, done.stderr
    header, _, row = done.stdout.split("\n\n")[1].splitlines()
    assert [word for word in header.split() if word in {"scenario", FLOOR, OURS, "ratio", "must"}] == [
        "scenario",
        FLOOR,
        OURS,
        "ratio",
        "must",
    ]
    assert row.split()[:3] == ["loop", "40", "µs/task"]
    assert "peers not measured" in done.stdout

    document = json.loads(document_file.read_text(encoding="utf-8"))
    assert document["schema"] == 1
    assert set(document) == {"schema", "environment", "options", "measures", "peers", "missed"}
    assert {"python", "system", "cpus", "load", "loop"} <= set(document["environment"])
    (measured,) = document["measures"]
    assert measured["key"] == "loop"
    assert measured["size"] == 40
    assert measured["error"] is None
    assert {side: len(values) for side, values in measured["samples"].items()} == {FLOOR: 3, OURS: 3}
    assert len(measured["ratios"]) == 3
    assert measured["value"] == sorted(measured["ratios"])[1]
    assert set(document["peers"]["versions"]) == {*PEERS, *REDIS_PEERS}

    root = parse(chart_file.read_text(encoding="utf-8"))
    assert root.tag == f"{SVG}svg"
    assert any((text.text or "") == "loop 40" for text in root.iter(f"{SVG}text"))


def test_the_gate_fails_and_names_what_was_missed():
    """`--gate` turns a missed must into a failing exit code and says which one it was."""
    done = run_benchmarks("--only", "loop", "--n", "40", "--rounds", "3", "--gate", "--must", "loop=0.0001")
    assert done.returncode == 1, done.stderr
    assert "gate: 0 of 1 musts held" in done.stdout
    assert "missed: loop N=40" in done.stdout


def test_the_gate_passes_when_every_must_holds():
    """`--gate` lets a run through whose musts hold."""
    done = run_benchmarks("--only", "loop", "--n", "40", "--rounds", "3", "--gate", "--must", "loop=1000000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gate: 1 of 1 musts held" in done.stdout


def test_a_gate_that_judges_nothing_does_not_pass():
    """A scenario without a must cannot make the gate look green."""
    done = run_benchmarks("--only", "mixed40", "--n", "10", "--rounds", "1", "--gate")
    assert done.returncode == 2, done.stderr
    assert "none of these measures has a must" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--only", "nothing"], id="scenario"),
        pytest.param(["--must", "nothing=1"], id="must"),
        pytest.param(["--must", "loop=fast"], id="limit"),
        pytest.param(["--peers", "nobody"], id="peer"),
    ],
)
def test_a_wrong_name_is_a_usage_error(arguments: list[str]):
    """A misspelt name stops the run before anything is measured."""
    done = run_benchmarks(*arguments)
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("name", TIMED)
def test_both_sides_run_every_body_of_a_timed_scenario(name: str):
    """Each scenario does all of its work on both sides; a side that left bodies out would be reported as failed."""
    found = measure(name, 40, 1, [FLOOR, OURS])
    assert found["errors"] == {}
    assert all(len(samples) == 1 and samples[0]["seconds"] > 0 for samples in found["samples"].values())


def test_both_sides_run_every_job_over_redis():
    """A driver, a worker and a server of each side do all the work, and the CPU time of each is known."""
    code = f"""
import json
from benchmarks.worker import measure
print(json.dumps([measure(name, 40, 1, [{FLOOR!r}, {OURS!r}]) for name in {OVER_REDIS!r}]))
"""
    for found in json.loads(run_child(["-c", code], 180)):
        assert found["errors"] == {}
        for (sample,) in found["samples"].values():
            assert sample["seconds"] > 0
            assert min(sample[f"cpu.{who}"] for who in ("driver", "worker", "server")) > 0


def test_a_profile_over_redis_shows_both_processes_and_the_server():
    """`--profile redis` tells where the driver, the worker and the server spend their time, in one run."""
    done = run_benchmarks("--profile", "redis", "--n", "40")
    assert done.returncode == 0, done.stderr
    tables = [part for part in done.stdout.split("\n\n") if "under the profiler" in part]
    assert [table.split(", N = 40, ")[0] for table in tables] == ["redis, driver", "worker"]
    assert all(len(table.splitlines()) > 10 for table in tables)
    assert "evalsha" in done.stdout


@pytest.mark.slow
def test_processes_and_memory_are_measured():
    """The scenarios that need processes of their own deliver a figure for both sides."""
    done = run_benchmarks(
        "--only",
        "import",
        "--only",
        "cold",
        "--only",
        "memory",
        "--only",
        "map.memory",
        "--only",
        "map.memory.aio",
        "--n",
        "500",
        "--rounds",
        "1",
    )
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
    assert {
        "import",
        "cold",
        "cold.peak",
        "map.memory",
        "map.memory.aio",
        "memory.finished",
        "memory.sleeping",
        "memory.loop",
    } <= set(done.stdout.split())


def test_a_ratio_is_the_median_of_the_rounds_and_not_of_the_sides():
    """Rounds are compared pair by pair, so that a slow spell of the machine hits both sides of a ratio."""
    (case,) = find_cases(["loop"])
    samples = {FLOOR: [{"seconds": 1.0}, {"seconds": 10.0}, {"seconds": 2.0}]}
    samples[OURS] = [{"seconds": 0.5}, {"seconds": 4.0}, {"seconds": 0.6}]
    (row,) = measures_of(case, 1_000, samples)
    assert row.ratios == [0.5, 0.4, 0.3]
    assert row.value == 0.4


def test_building_a_static_graph_is_shown_apart():
    """The build is no part of the judged ratio and has its own columns."""
    (case,) = find_cases(["chain"])
    samples = {FLOOR: [{"seconds": 2.0, "build": 0.0}], OURS: [{"seconds": 1.0, "build": 3.0}]}
    (row,) = measures_of(case, 1_000, samples)
    assert row.value == 0.5
    assert row.build == pytest.approx(3_000.0)
    assert row.with_build == 2.0


def test_the_loops_gap_is_judged_beyond_the_bodys_own_time():
    """A source body that itself takes long is not held against the scheduler."""
    (case,) = find_cases(["fanlag"])
    sample = {"seconds": 0.05, "gap": 0.03, "body": 0.02}
    gap, beyond = measures_of(case, 10_000, {FLOOR: [sample], OURS: [sample]})
    assert (gap.key, gap.value) == ("fanlag", pytest.approx(30.0))
    assert (beyond.key, beyond.value) == ("fanlag.beyond", pytest.approx(10.0))


def test_growth_compares_the_largest_fan_out_with_the_smallest():
    """The cost of a task at 100,000 over that at 1,000 has a row of its own, where both were measured."""
    small, large = ratio_row("fanout", 1_000, 2.0), ratio_row("fanout", 100_000, 3.0)
    assert growth_of([small]) == []
    (row,) = growth_of([small, large])
    assert row.value == 1.5


def test_growth_of_maps_has_a_row_of_its_own():
    """The cost of a mapped item at 100,000 is compared with that at 10,000, beside the growth of fan-outs."""
    sizes = {1_000: 9.0, 10_000: 2.0, 100_000: 2.5}
    rows = [ratio_row(name, size, value) for name in ("fanout", "map") for size, value in sizes.items()]
    assert {row.key: row.value for row in growth_of(rows)} == {"fanout.growth": 2.5 / 9.0, "map.growth": 1.25}
    assert growth_of([ratio_row("map", 1_000, 1.0), ratio_row("map", 100_000, 3.0)]) == []


def test_a_map_over_a_long_input_is_measured_in_megabytes():
    """The peak of both sides is shown as it is, and the must of 20 MB judges ours."""
    (case,) = find_cases(["map.memory.aio"])
    (row,) = measures_of(case, 100_000, {FLOOR: [{"peak": 4e6}], OURS: [{"peak": 21e6}]})
    apply_musts([row], {}, every_size=False)
    assert (row.unit, row.value, row.verdict) == ("MB", 21.0, "missed")


def test_steps_with_a_journal_have_rows_for_opening_and_for_bytes():
    """What a run pays once for its journal, and what a step leaves in it, stand apart from the cost of a step."""
    plain, synced = [case for case in CASES if case.name in {"ckpt", "ckpt.sync"}]
    sample = {"seconds": 0.002, "open": 0.004, "bytes": 301.0}
    samples = {FLOOR: [{"seconds": 0.001, "open": 0.001, "bytes": 60.0}], OURS: [sample]}
    rows = measures_of(plain, 200, samples)
    apply_musts(rows, {}, every_size=False)
    assert [(row.key, row.unit, row.value, row.verdict) for row in rows] == [
        ("ckpt", "µs/task", 2.0, "missed"),
        ("ckpt.open", "ms", 4.0, ""),
        ("ckpt.bytes", "B", 301.0, "missed"),
    ]
    assert [row.key for row in measures_of(synced, 200, samples)] == ["ckpt.sync", "ckpt.sync.open"]


@pytest.mark.parametrize(
    ("name", "size", "sample", "value"),
    [
        pytest.param("ckpt.lag", 5_000, {"seconds": 4.0, "gap": 0.031}, 31.0, id="lag"),
        pytest.param("ckpt.fold", 100_000, {"seconds": 3.5}, 3_500.0, id="fold"),
    ],
)
def test_limits_in_milliseconds_judge_our_own_figure(name: str, size: int, sample: dict[str, float], value: float):
    """The loop's gap and the time to tell a journal are bounded as such, however long the floor takes."""
    (case,) = [case for case in CASES if case.name == name]
    (row,) = measures_of(case, size, {FLOOR: [{"seconds": 9.0, "gap": 9.0}], OURS: [sample]})
    apply_musts([row], {}, every_size=False)
    assert (row.unit, row.verdict) == ("ms", "missed")
    assert row.value == pytest.approx(value)


def test_checkpoints_are_a_family():
    """`--only ckpt` measures everything about journals, and a member can be asked for alone."""
    family = [case.name for case in find_cases(["ckpt"])]
    assert family == ["ckpt", "ckpt.sync", "ckpt.fan", "ckpt.lag", "ckpt.fold"]
    assert [case.name for case in find_cases(["ckpt.fan"])] == ["ckpt.fan"]


def test_runs_with_a_journal_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Journals go where TMPDIR says and are gone afterwards; nothing is written to the home directory."""
    home, place = tmp_path / "home", tmp_path / "place"
    home.mkdir()
    place.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.delenv("GRAFLOW_SECRET_KEY", raising=False)
    done = run_benchmarks("--only", "ckpt", "--n", "20", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
    assert list(home.iterdir()) == []
    assert list(place.iterdir()) == []


def test_musts_count_at_their_sizes_and_at_sizes_the_user_chose():
    """A must made for N = 10,000 does not judge other sizes, unless the sizes were given by hand."""
    row = ratio_row("loop", 123, 9.0)
    apply_musts([row], {}, every_size=False)
    assert row.verdict == ""
    apply_musts([row], {}, every_size=True)
    assert row.must == MUSTS["loop"].limit
    assert row.verdict == "missed"


def test_a_measure_that_failed_counts_as_missed():
    """A crash cannot pass the gate, and its reason is in the report."""
    row = Measure("chain", 1_000, "", RATIO, error="graflow_async: ValueError: no")
    apply_musts([row], {}, every_size=False)
    (line,) = missed_lines([row])
    assert "ValueError: no" in line
    assert "chain N=1,000: graflow_async: ValueError: no" in main_table([row])


def test_a_peer_that_is_not_installed_is_shown_as_such():
    """The table says which rivals were not there, instead of leaving them out."""
    cells = run_peers(find_cases(["import"]), ["dask"], {"dask": None})
    assert cells["import", 1]["dask"] == "not installed"
    assert cells["import", 1][OURS].endswith("x")


def test_queues_over_redis_that_are_not_installed_are_left_out_with_a_word():
    """A peer that its interpreter does not have stops nothing, and is not passed over in silence."""
    done = run_benchmarks("--only", "redis.peers", "--peers", "saq", "--peer-python", "saq=false")
    assert done.returncode == 0, done.stderr
    assert "redis.peers: left out, as none of the peers is installed" in done.stderr


def test_ours_is_judged_by_the_best_queue_over_redis():
    """The must of the peers is a ratio to the quickest of them, round by round, and each has its line."""
    (case,) = [case for case in CASES if case.name == "redis.peers"]
    cpu = {"cpu.driver": 1e-5, "cpu.worker": 2e-5, "cpu.server": 3e-5}
    seconds = {FLOOR: [0.1, 0.1], OURS: [0.2, 0.4], "saq": [2.0, 2.0], "arq": [4.0, 4.0]}
    samples = {side: [{"seconds": one, **cpu} for one in values] for side, values in seconds.items()}
    rows = measures_of(case, 5_000, samples)
    rows[0].absent = {"streaq": "not installed"}
    apply_musts(rows, {}, every_size=False)
    assert (rows[0].ratios, rows[0].verdict) == ([0.1, 0.2], "missed")
    lines = {line.split()[0]: line.split() for line in redis_table(rows, {"saq": "0.26"}).splitlines()[2:]}
    assert lines["saq"][1:] == ["0.26", "400", "10.0", "20.0", "30.0", "6.67x"]
    assert lines["streaq"][-2:] == ["not", "installed"]


@pytest.mark.parametrize("value", [0.0, 0.05, 0.98, 1.0, 2.9, 3.0, 250.0])
def test_labels_of_the_chart_do_not_overlap(value: float):
    """Names, values and marks stay readable whatever the ratios are."""
    rows = [ratio_row(case.name, 100_000, value, must) for case in CASES for must in (None, 0.5, 1.0, 3.0)]
    boxes = labels(draw(rows, "a title"))
    assert len(boxes) >= 2 * len(rows)
    width = float(parse(draw(rows, "a title")).attrib["width"])
    for index, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0
        assert right <= width
        for other_left, other_top, other_right, other_bottom in boxes[index + 1 :]:
            apart = right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
            assert apart
