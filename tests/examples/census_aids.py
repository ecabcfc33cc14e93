"""What the tests of the code census share: small trees, and running the program in this process or in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "08_real_world"
STDLIB = Path(sysconfig.get_path("stdlib"))
sys.path.append(str(EXAMPLE))

census_graph: Any = import_module("census_graph")
census_progress: Any = import_module("census_progress")
census_report: Any = import_module("census_report")
census_source: Any = import_module("census_source")
code_census: Any = import_module("code_census")


def plant(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files, making the folders they need."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def take(folder: Path, *arguments: str, out: str = "out") -> dict[str, Any]:
    """Run the program in this process and read its report; `out` is made beside the folder."""
    place = folder.parent / out
    assert code_census.main([str(folder), "--out", str(place), "--quiet", *arguments]) == 0
    return json.loads((place / "census.json").read_text(encoding="utf-8"))


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", str(EXAMPLE / "code_census.py"), *map(str, arguments)]


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does."""
    return subprocess.run(
        command(*arguments),
        env=environment(**variables),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **variables}


# Presses Ctrl-C when the program says something: somebody who sees it on the screen may be too late.
_PRESSING = """
import os, runpy, signal, sys
word, *sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
write = sys.stderr.write
def told(text):
    count = write(text)
    if text.startswith(word):
        sys.stderr.flush()
        os.killpg(0, signal.SIGINT)
    return count
sys.stderr.write = told
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def interrupted(word: str, *arguments: str | Path, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the program in a process group of its own, all of which gets Ctrl-C at a word on stderr."""
    interpreter, *before, program = command()
    return subprocess.run(
        [interpreter, *before, *options, "-c", _PRESSING, word, program, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        start_new_session=True,
        timeout=120,
        check=False,
    )


SHOP: dict[str, str | bytes] = {
    "main.py": "import shop.cart\nfrom shop import prices as p\n\nprint('go')\n",
    "shop/__init__.py": "",
    "shop/cart.py": "from . import prices\nfrom .money import Euro\n\n\nclass Cart:\n    def add(self): ...\n",
    "shop/prices.py": "from shop.money import Euro\n\nasync def price():\n    def inner(): import os\n",
    "shop/money.py": "class Euro: pass",
    "broken.py": "def (:\n",
    "latin.py": b"# caf\xe9\n",
    "image.py": b"\x89PNG\0\0",
    "notes.txt": "import shop\n",
    ".hidden/a.py": "x = 1\n",
    "site-packages/b.py": "x = 1\n",
    "__pycache__/c.py": "x = 1\n",
}
