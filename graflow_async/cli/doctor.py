"""`graflow-async doctor`: look at what a run needs on this machine and say what is missing."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from .._lazy import lazily
from .._version import __version__
from ..codec import Keyring
from ..errors import ConfigError, SecurityError
from ..options import DEFAULT_DIRECTORY, is_url
from .doctor_findings import Finding
from .failures import DONE, FAILED, guarded, spelled, without_password
from .loop import drive
from .options import Debug
from .output import as_json

_server = lazily("graflow_async.cli.doctor_redis")  # the client is slow to import

SECRET_KEY = "GRAFLOW_SECRET_KEY"  # noqa: S105  # the name of a variable
CORE = ("anyio", "cloudpickle", "redis", "aiofiles")
EXTRAS = {
    "cli": ("typer", "rich"),
    "config": ("pyyaml",),
    "prompts": ("jinja2", "pyyaml"),
    "feedback": ("jsonschema", "pydantic", "httpx"),
    "ui": ("fastapi", "uvicorn"),
    "otel": ("opentelemetry-api",),
    "uvloop": ("uvloop",),
}
_COLOURS = {"ok": "green", "info": None, "warning": "yellow", "problem": "red"}

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object: healthy, and findings with name, state and detail.")
]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Look at this Redis, too (or GRAFLOW_REDIS_URL).",
        envvar="GRAFLOW_REDIS_URL",
        show_default=False,
        show_envvar=False,
    ),
]
Queue = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="The queue of the workers that are counted.", envvar="GRAFLOW_QUEUE", show_envvar=False
    ),
]
CheckpointDir = Annotated[
    str | None,
    typer.Option(
        "--checkpoint-dir", metavar="DIR|URL", help="Where runs are to be recorded: it must work.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", epilog="Example: graflow-async doctor --redis-url redis://localhost:6379/0")(doctor)


def doctor(
    *,
    checkpoint_dir: CheckpointDir = None,
    redis_url: RedisUrl = None,
    queue: Queue = "default",
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Check Python, packages, extras, the event loop, signing keys, where runs are recorded, and Redis.

    Exit code 1 if something that was asked for does not work; a warning is none.
    """

    def body() -> int:
        findings = examine(checkpoint_dir, redis_url, queue)
        healthy = all(finding.state != "problem" for finding in findings)
        if json:
            print(as_json({"healthy": healthy, "findings": [finding._asdict() for finding in findings]}), flush=True)
        else:
            _show(findings)
        return DONE if healthy else FAILED

    return guarded(body, debug=debug)


def examine(checkpoint_dir: str | None, redis_url: str | None, queue: str) -> list[Finding]:
    """Look at everything."""
    python = f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}"
    return [
        Finding("graflow_async", "ok", __version__),
        Finding("python", "ok", f"{python} ({sys.executable})"),
        *(_package(name) for name in CORE),
        *(_extra(name, packages) for name, packages in EXTRAS.items()),
        asyncio.run(_loop()),
        _key(),
        *_place(checkpoint_dir, redis_url, queue),
        *_redis(redis_url, queue),
    ]


def _version(package: str) -> str | None:
    """Give the installed version of a package, None if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Finding:
    """Look for a package that the core needs."""
    version = _version(name)
    if version is None:
        return Finding(name, "problem", f"not installed: pip install {name}")
    return Finding(name, "ok", version)


def _extra(name: str, packages: tuple[str, ...]) -> Finding:
    """Look for the packages of an extra."""
    versions = {package: _version(package) for package in packages}
    missing = [package for package, version in versions.items() if version is None]
    if missing:
        return Finding(
            f"extra {name}", "info", f'not installed ({", ".join(missing)}): pip install "graflow-async[{name}]"'
        )
    return Finding(f"extra {name}", "ok", ", ".join(f"{package} {version}" for package, version in versions.items()))


async def _loop() -> Finding:
    """Say which loop commands run on."""
    kind = type(asyncio.get_running_loop())
    there = "; uvloop is there for programs that start it" if _version("uvloop") and "uvloop" not in str(kind) else ""
    return Finding("event loop", "ok", f"{kind.__module__}.{kind.__qualname__}{there}")


def _key() -> Finding:
    """Find the keys that sign what is pickled, as a run would; the local one is made if there is none."""
    try:
        keyring = Keyring.load()
    except (ConfigError, SecurityError) as error:
        return Finding("signing key", "problem", str(error))
    if keyring.is_local:
        detail = f"a local key, for this user and machine ({SECRET_KEY} is not set: see `graflow-async keygen`)"
        return Finding("signing key", "ok", detail)
    more = len(keyring.ids) - 1
    others = f" and {more} older ones verify" if more > 1 else " and an older one verifies" if more else ""
    return Finding("signing key", "ok", f"{SECRET_KEY} is set: {keyring.active} signs{others}")


def _place(directory: str | None, redis_url: str | None, queue: str) -> list[Finding]:
    """Look at where runs are to be recorded."""
    if directory is not None and is_url(directory):
        found = [] if directory == redis_url else _redis(directory, queue)
        return [Finding("checkpoints", "info", f"in Redis at {without_password(directory)}"), *found]
    return [_folder(Path(directory or DEFAULT_DIRECTORY), is_asked=directory is not None)]


def _folder(folder: Path, *, is_asked: bool) -> Finding:
    """Try to write a file where runs are recorded, or where their directory would be made."""
    folder = folder.absolute()
    there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        state = "problem" if is_asked else "warning"
        return Finding("checkpoints", state, f"{there} cannot be written to ({error.strerror}): no run is recorded")
    made = "" if there == folder else f"; {folder.relative_to(there)} is made when a run is recorded"
    return Finding("checkpoints", "ok", f"{there} can be written to{made}")


def _redis(url: str | None, queue: str) -> list[Finding]:
    """Look at the Redis that the command line or the environment names."""
    if not url:
        return [Finding("redis server", "info", "neither --redis-url nor GRAFLOW_REDIS_URL: runs stay in one process")]
    return drive(_server.look_at(url, queue, is_signed=os.environ.get(SECRET_KEY) is not None))


def _show(findings: list[Finding]) -> None:
    """Print a line for each finding, coloured where stdout is a terminal that may have colours."""
    width = max(len(finding.name) for finding in findings)
    has_colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for finding in findings:
        state = f"{finding.state:<7}"
        if has_colours:
            state = typer.style(state, fg=_COLOURS[finding.state])
        print(f"{state}  {finding.name:<{width}}  {spelled(finding.detail)}")
    sys.stdout.flush()
