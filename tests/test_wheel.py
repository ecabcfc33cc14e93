"""The package builds into a wheel that holds everything a user needs and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "graflow_async"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Build the wheel as a release does, with the build backend of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        yield archive


def test_every_file_of_the_package_is_inside(wheel: zipfile.ZipFile) -> None:
    """Modules, the typing marker, scripts and pages are shipped; caches and tests are not."""
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".pyc", ".log"}
    }
    assert "graflow_async/py.typed" in shipped
    assert shipped == sources


def test_metadata_says_what_the_project_says(wheel: zipfile.ZipFile) -> None:
    """Version, licence, Python and dependencies reach the installer."""
    (name,) = (name for name in wheel.namelist() if PurePosixPath(name).name == "METADATA")
    metadata = Parser().parsestr(wheel.read(name).decode())
    version: dict[str, str] = {}
    exec((PACKAGE / "_version.py").read_text(encoding="utf-8"), version)  # noqa: S102  # one assignment of ours
    assert metadata["Name"] == "graflow-async"
    assert metadata["Version"] == version["__version__"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    required = {line.split(">")[0] for line in metadata.get_all("Requires-Dist", []) if "extra" not in line}
    assert required == {"anyio", "cloudpickle", "redis[hiredis]", "aiofiles"}
    assert {"cli", "config", "examples", "bench", "uvloop", "dev"} <= set(metadata.get_all("Provides-Extra", []))
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_the_command_is_installed(wheel: zipfile.ZipFile) -> None:
    """The wheel brings the command line."""
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "graflow-async = graflow_async.cli:main" in wheel.read(name).decode()
