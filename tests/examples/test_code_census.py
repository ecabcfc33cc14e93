"""The code census counts, ranks and reports: exact expectations on small trees, and parts of the standard library."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any

import pytest

from tests.examples.census_aids import (
    EXAMPLE,
    SHOP,
    STDLIB,
    census_graph,
    census_report,
    census_source,
    code_census,
    environment,
    plant,
    run,
    take,
)


def test_a_small_tree_is_counted_exactly(tmp_path: Path) -> None:
    """Every number of the report is right on a tree that a person can count."""
    told = take(plant(tmp_path / "tree", SHOP))
    assert told["totals"] == {"files": 5, "lines": 15, "functions": 3, "classes": 2, "imports": 6, "problems": 3}
    by_name = {row["module"]: row for row in told["modules"]}
    assert {name: row["imported_by"] for name, row in by_name.items()} == {
        "shop.money": 2,
        "shop.prices": 2,
        "shop.cart": 1,
        "main": 0,
        "shop": 0,
    }
    assert by_name["shop.prices"] | {"rank": 0, "importance": 0} == {
        "rank": 0,
        "module": "shop.prices",
        "path": "shop/prices.py",
        "importance": 0,
        "imported_by": 2,
        "lines": 4,
        "functions": 2,
        "classes": 0,
        "imports": 2,
    }


def test_the_ranking_follows_the_imports(tmp_path: Path) -> None:
    """Importance flows to what is imported: the order is that of the graph, and all shares together are one."""
    told = take(plant(tmp_path / "tree", SHOP))
    assert [row["module"] for row in told["modules"]] == ["shop.money", "shop.prices", "shop.cart", "main", "shop"]
    assert [row["rank"] for row in told["modules"]] == [1, 2, 3, 4, 5]
    assert sum(row["importance"] for row in told["modules"]) == pytest.approx(1, abs=1e-6)
    assert told["modules"][3]["importance"] == told["modules"][4]["importance"]
    assert told["ranking"]["converged"] is True
    assert told["ranking"]["change"] <= census_graph.TOLERANCE


def test_two_modules_that_import_each_other_share_evenly(tmp_path: Path) -> None:
    """The power iteration solves the case that can be solved by hand: a cycle of two, and nothing else."""
    told = take(plant(tmp_path / "tree", {"a.py": "import b\n", "b.py": "import a\n"}))
    assert [(row["module"], row["importance"]) for row in told["modules"]] == [("a", 0.5), ("b", 0.5)]
    assert told["ranking"] == {"turns": 1, "change": 0.0, "converged": True}


def test_a_star_has_the_scores_that_algebra_gives(tmp_path: Path) -> None:
    """Two modules that import a third: x = 0.05 + 0.85 h / 3 for them, h = x + 2 * 0.85 x for the hub."""
    told = take(plant(tmp_path / "tree", {"hub.py": "", "x.py": "import hub\n", "y.py": "import hub\n"}))
    spoke = 1 / (3 + 2 * 0.85)
    assert [row["importance"] for row in told["modules"]] == pytest.approx([1 - 2 * spoke, spoke, spoke], abs=1e-8)
    assert told["ranking"]["turns"] > 5


def test_bad_files_are_reported_and_the_rest_is_counted(tmp_path: Path) -> None:
    """Files that are binary, in another encoding, no Python or gone are lines in the report, sorted, with a reason."""
    folder = plant(
        tmp_path / "tree",
        {
            **SHOP,
            "cookie.py": "# coding: klingon\n",
            "deep.py": "x = " + "-" * 20_000 + "1\n",
            "huge_number.py": "x = " + "9" * 5_000 + "\n",
        },
    )
    (folder / "gone.py").symlink_to("nowhere.py")
    (folder / "loop.py").symlink_to("loop.py")
    os.mkfifo(folder / "pipe.py")
    told = take(folder)
    assert [(p["path"], p["kind"]) for p in told["problems"]] == [
        ("broken.py", "unparsable"),
        ("cookie.py", "undecodable"),
        ("deep.py", "unparsable"),
        ("gone.py", "unreadable"),
        ("huge_number.py", "unparsable"),
        ("image.py", "binary"),
        ("latin.py", "undecodable"),
        ("loop.py", "unreadable"),
        ("pipe.py", "no file"),
    ]
    details = {p["path"]: p["detail"] for p in told["problems"]}
    assert details["image.py"] == "a NUL byte at offset 4"
    assert details["broken.py"].startswith("line 1: ")
    assert details["gone.py"] == "No such file or directory"
    assert told["totals"]["files"] == 5


def test_a_file_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    """A task that fails with an OSError runs three times before its file becomes a problem."""
    folder = plant(tmp_path / "tree", {"good.py": "x = 1\n"})
    (folder / "gone.py").symlink_to("nowhere.py")
    done = run(folder, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert "scanned 100 % (2 of 2 files, 2 retries)" in done.stderr.splitlines()


def test_links_between_folders_end_nowhere(tmp_path: Path) -> None:
    """A folder that links to itself, or to its parent, is walked once."""
    folder = plant(tmp_path / "tree", {"a.py": "x = 1\n", "sub/b.py": "y = 2\n"})
    (folder / "again").symlink_to(folder, target_is_directory=True)
    (folder / "sub" / "up").symlink_to("..", target_is_directory=True)
    told = take(folder)
    assert sorted(row["path"] for row in told["modules"]) == ["a.py", "sub/b.py"]


def test_a_file_of_five_megabytes_is_counted(tmp_path: Path) -> None:
    """Size alone is no problem below the limit, and above it the file is reported instead of read."""
    line = "x = 'some text that makes a line of a file longer than it would be without it'\n"
    count = 5 * 1024 * 1024 // len(line)
    folder = plant(tmp_path / "tree", {"big.py": line * count})
    with (folder / "monster.py").open("wb") as file:
        file.truncate(census_source.MAX_BYTES + 1)
    told = take(folder)
    assert told["totals"] == {"files": 1, "lines": count, "functions": 0, "classes": 0, "imports": 0, "problems": 1}
    assert told["problems"] == [{"path": "monster.py", "kind": "too large", "detail": "more than 16 MiB"}]


async def test_a_file_that_goes_while_the_run_is_under_way_is_a_problem(tmp_path: Path) -> None:
    """What was discovered may be gone, or be something else, by the time it is read."""
    folder = plant(tmp_path / "tree", {"a.py": "x = 1\n", "b.py": "x = 1\n", "c.py": "x = 1\n"})

    def change_tree(event: Any) -> None:
        if event.task_id == "discover" and type(event).__name__ == "TaskCompleted":
            (folder / "a.py").unlink()
            (folder / "b.py").write_text("x = 1\ny = 2\n")

    inputs = {"folder": folder, "limit": None, "concurrency": 2, "parser": "threads", "out": tmp_path, "started": 0.0}
    async with code_census.census.start(inputs=inputs, limits={"cpu": 1}, listeners=[change_tree]) as census:
        await census
    told = census.results["report"]
    assert [(p["path"], p["kind"]) for p in told["problems"]] == [("a.py", "unreadable")]
    assert told["totals"]["lines"] == 3


async def test_each_file_is_a_task_of_its_own(tmp_path: Path) -> None:
    """The fan-out happens at run time: one reading and one parsing task per file, and one turn of rank per step."""
    folder = plant(tmp_path / "tree", {"hub.py": "", "x.py": "import hub\n", "y.py": "import hub\n"})
    inputs = {"folder": folder, "limit": None, "concurrency": 2, "parser": "threads", "out": tmp_path, "started": 0.0}
    async with code_census.census.start(inputs=inputs, limits={"cpu": 1}) as census:
        await census
    ran = [span.task_id for span in census.timeline()]
    assert [name for name in ran if name.startswith("examine")] == ["examine_1", "examine_2", "examine_3"]
    assert sum(name.startswith("parse") for name in ran) == 3
    assert ran.count("rank") == census.results["rank"].turns > 5


def test_the_report_has_its_schema(tmp_path: Path) -> None:
    """Programs that read the report find these fields, of these types, and no others."""
    told = take(plant(tmp_path / "tree", SHOP))
    assert {key: type(value) for key, value in told.items()} == {
        "folder": str,
        "python": str,
        "totals": dict,
        "ranking": dict,
        "modules": list,
        "problems": list,
        "seconds": float,
    }
    for row in told["modules"]:
        assert {key: type(value) for key, value in row.items()} == {
            **dict.fromkeys(("module", "path"), str),
            **dict.fromkeys(("rank", "imported_by", "lines", "functions", "classes", "imports"), int),
            "importance": float,
        }
    for row in told["problems"]:
        assert {key: type(value) for key, value in row.items()} == {"path": str, "kind": str, "detail": str}


def test_an_unchanged_tree_gives_the_same_report(tmp_path: Path) -> None:
    """However many files at a time, in threads or in processes: only `seconds` differs, the chart not at all."""
    folder = plant(tmp_path / "tree", SHOP)
    first = take(folder, "--concurrency", "1", out="first")
    second = take(folder, "--processes", out="second")
    assert first | {"seconds": 0} == second | {"seconds": 0}
    charts = [(tmp_path / out / "census.svg").read_bytes() for out in ("first", "second")]
    assert charts[0] == charts[1]


def test_limit_takes_the_first_files_in_order(tmp_path: Path) -> None:
    """`--limit` cuts the sorted list, so that it means the same files every time."""
    folder = plant(tmp_path / "tree", {f"m{i}.py": "x = 1\n" for i in range(5)})
    assert [row["path"] for row in take(folder, "--limit", "2")["modules"]] == ["m0.py", "m1.py"]


@pytest.mark.parametrize(
    ("folder", "source", "expected"),
    [
        ("", "import pkg.sub.leaf\n", ["pkg/sub/leaf.py"]),
        ("", "import pkg.sub.nothing\n", ["pkg/sub/__init__.py"]),
        ("", "from pkg import sub, other\n", ["pkg/__init__.py", "pkg/sub/__init__.py"]),
        ("", "from pkg.sub import *\n", ["pkg/sub/__init__.py"]),
        ("", "import os, sys\nfrom . import pkg\n", []),
        ("pkg/sub", "from . import leaf\n", ["pkg/sub/leaf.py"]),
        ("pkg/sub", "from .. import sub\n", ["pkg/sub/__init__.py"]),
        ("pkg/sub", "from ..sub.leaf import x\n", ["pkg/sub/leaf.py"]),
        ("pkg/sub", "from ... import pkg\n", []),
        (
            "",
            "def late():\n    if x:\n        try: import pkg\n        except E: import pkg.sub\n",
            ["pkg/__init__.py", "pkg/sub/__init__.py"],
        ),
        ("", "match x:\n    case 1:\n        with y: import pkg\n", ["pkg/__init__.py"]),
    ],
)
def test_imports_are_resolved(tmp_path: Path, folder: str, source: str, expected: list[str]) -> None:
    """Absolute, relative, nested, late and starred imports lead to the file that Python would load."""
    plant(tmp_path, {"pkg/__init__.py": "", "pkg/sub/__init__.py": "", "pkg/sub/leaf.py": "x = 1\n"})
    me = str(Path(folder, "me.py"))
    (tmp_path / me).write_text(source)
    facts = {
        path: census_source.read_facts((tmp_path / path).read_bytes())
        for path in census_source.find_files(tmp_path).files
    }
    graph = census_graph.link_modules(tmp_path, facts)
    paths = [module.path for module in graph.modules]
    assert [paths[target] for target in graph.edges[paths.index(me)]] == expected


def test_a_package_goes_before_a_module_of_the_same_name(tmp_path: Path) -> None:
    """Of `a.py` and `a/__init__.py` the importer gets the package, and both are counted."""
    told = take(plant(tmp_path / "tree", {"a.py": "", "a/__init__.py": "", "b.py": "import a\n"}))
    assert {row["path"]: row["imported_by"] for row in told["modules"]} == {"a.py": 0, "a/__init__.py": 1, "b.py": 0}


def test_a_folder_that_is_a_package_knows_its_own_name(tmp_path: Path) -> None:
    """The census of a package resolves what its modules import by the package's full name."""
    plant(
        tmp_path,
        {
            "top/__init__.py": "",
            "top/inner/__init__.py": "",
            "top/inner/a.py": "import top.inner.b\n",
            "top/inner/b.py": "",
        },
    )
    told = take(tmp_path / "top" / "inner", out="../out")
    assert {row["module"] for row in told["modules"]} == {"top.inner", "top.inner.a", "top.inner.b"}


@pytest.mark.parametrize(("package", "first"), [("json", "json.scanner"), ("asyncio", "asyncio.constants")])
def test_a_package_of_the_standard_library(tmp_path: Path, package: str, first: str) -> None:
    """On real code the totals are those of a count by other means, and the ranking has converged on what all need."""
    sources = [path.read_text(encoding="utf-8") for path in (STDLIB / package).rglob("*.py")]
    out = tmp_path / "out"
    assert code_census.main([str(STDLIB / package), "--out", str(out), "--quiet"]) == 0
    told = json.loads((out / "census.json").read_text(encoding="utf-8"))
    assert told["totals"]["files"] == len(sources)
    assert told["totals"]["lines"] == sum(len(text.split("\n")) - text.endswith("\n") for text in sources)
    words = [token.string for text in sources for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    assert told["totals"]["functions"] == words.count("def")
    assert told["totals"]["classes"] == words.count("class")
    assert told["problems"] == []
    assert told["ranking"]["converged"] is True
    assert told["modules"][0]["module"] == first


def test_the_plain_script_counts_the_same(tmp_path: Path) -> None:
    """The script that the README compares with does the same work."""
    told = take(plant(tmp_path / "tree", SHOP))
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "plain_census.py"), str(tmp_path / "tree")],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[0] == census_report.totals_line(told)
