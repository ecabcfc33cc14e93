"""The same census as a plain script, one file after the other and without the library: what `code_census.py` costs.

python plain_census.py [folder] [--limit N]
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import time
from pathlib import Path

from census_graph import link_modules, rank_once
from census_report import make_report, totals_line
from census_source import Facts, Problem, SourceError, find_files, read_facts, silent_compiler


def main() -> int:
    """Take the census and print totals and time."""
    parser = argparse.ArgumentParser(description="Take the census of a source tree, one file after the other.")
    parser.add_argument("folder", nargs="?", type=Path, default=sysconfig.get_path("stdlib"))
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    started = time.perf_counter()
    tree = find_files(options.folder, options.limit)
    facts: dict[str, Facts] = {}
    problems = list(tree.problems)
    with silent_compiler():
        for path in tree.files:
            try:
                facts[path] = read_facts(Path(options.folder, path).read_bytes())
            except SourceError as error:
                problems.append(Problem(path, error.kind, error.detail))
            except OSError as error:
                problems.append(Problem(path, "unreadable", error.strerror or str(error)))
    graph = link_modules(options.folder, facts)
    ranking = rank_once(graph, None)
    while not ranking.converged:
        ranking = rank_once(graph, ranking)
    told = make_report(options.folder, facts, problems, graph, ranking)
    print(f"{totals_line(told)}\n{time.perf_counter() - started:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
