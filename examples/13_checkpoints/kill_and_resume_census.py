"""Kill the code census of `08_real_world` in the middle, go on with it, and compare with one that nobody disturbed.

    python kill_and_resume_census.py [DIRECTORY] [--sources FOLDER] [--limit N]

The census runs in a child process that records every file in a journal. SIGKILL leaves it no time for anything: what
the next process finds is what had been written before.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

CENSUS = Path(__file__).resolve().parents[1] / "08_real_world" / "code_census.py"
HALF = "scanned 50 %"
RESUMED = "resumed: "


def census(*arguments: str | Path) -> list[str]:
    """Give the command line of a census."""
    return [sys.executable, str(CENSUS), *map(str, arguments)]


def undisturbed(sources: list[str | Path], out: Path) -> None:
    """Take a census from the start to the end, without a journal."""
    subprocess.run(census(*sources, "--quiet", "--out", out), check=True)  # noqa: S603  # our own program


def killed_half_way(sources: list[str | Path], out: Path, journal: Path) -> int:
    """Start a census, kill it when it says that half of the files are done, and give how it ended."""
    command = census(*sources, "--out", out, "--checkpoint-dir", journal)
    with subprocess.Popen(  # noqa: S603  # our own program
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8"
    ) as child:
        for line in child.stderr or ():
            if line.startswith(HALF):
                child.kill()
                print(f"killed at: {line.rstrip()}")
                break
        child.communicate()
    return child.returncode


def resumed(out: Path, journal: Path) -> str:
    """Go on with the killed census in another process; give what it says about the files it found done."""
    done = subprocess.run(  # noqa: S603  # our own program
        census("--resume", "--out", out, "--checkpoint-dir", journal), check=True, capture_output=True, encoding="utf-8"
    )
    return next(line for line in done.stderr.splitlines() if line.startswith(RESUMED))


def report_in(out: Path) -> dict[str, Any]:
    """Read a report; how long it took is the one thing in it that may differ."""
    told = json.loads((out / "census.json").read_text(encoding="utf-8"))
    return {name: value for name, value in told.items() if name != "seconds"}


def main(directory: Path, options: argparse.Namespace) -> int:
    """Take the census twice, once undisturbed and once killed and resumed."""
    sources = [options.sources, "--limit", options.limit]
    undisturbed(sources, directory / "undisturbed")
    whole = report_in(directory / "undisturbed")
    (directory / "killed" / "census.json").unlink(missing_ok=True)
    print(f"undisturbed: {whole['totals']['files']} files, {whole['totals']['problems']} problems")
    code = killed_half_way(sources, directory / "killed", directory / "journal")
    if code != -signal.SIGKILL:
        print(f"the census ended with code {code} before it could be killed; take a larger folder")
        return 1
    print(f"a report of the killed census: {(directory / 'killed' / 'census.json').exists()}")
    print(resumed(directory / "killed", directory / "journal"))
    is_same = report_in(directory / "killed") == whole
    print(f"the report is the same as the undisturbed one: {is_same}")
    return 0 if is_same else 1


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Kill a census of source files half way, and go on with it.")
    parser.add_argument("directory", nargs="?", type=Path, help="where to keep everything (default: nowhere)")
    parser.add_argument(
        "--sources", type=Path, default=sysconfig.get_path("stdlib"), help="what to count (default: standard library)"
    )
    parser.add_argument("--limit", type=int, default=400, help="only the first N files (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    with tempfile.TemporaryDirectory() as temporary:
        try:
            sys.exit(main(given.directory or Path(temporary), given))
        except subprocess.CalledProcessError as error:
            sys.exit(error.returncode)  # the census has said what is wrong
