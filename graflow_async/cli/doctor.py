"""`graflow-async doctor`: look at what a run needs on this machine and say what is missing."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import typer

from .._version import __version__
from .failures import DONE, FAILED, guarded
from .options import Debug
from .output import as_json

REDIS_URL = "GRAFLOW_REDIS_URL"
CORE = ("anyio", "cloudpickle", "redis", "aiofiles")
EXTRAS = {
    "cli": ("typer", "rich"),
    "config": ("pyyaml",),
    "prompts": ("jinja2", "pyyaml"),
    "feedback": ("jsonschema", "pydantic", "httpx"),
    "ui": ("fastapi", "uvicorn"),
    "uvloop": ("uvloop",),
}
_PATIENCE = 3.0  # seconds for Redis to answer
_COLOURS = {"ok": "green", "info": None, "warning": "yellow", "problem": "red"}


class Finding(NamedTuple):
    """One thing that was looked at; a problem makes the command fail."""

    name: str
    state: Literal["ok", "info", "warning", "problem"]
    detail: str


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object with every finding.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(*, json: Json = False, debug: Debug = False) -> int:
    """Check Python, packages, extras, the event loop, this folder and Redis."""

    def body() -> int:
        findings = examine()
        if json:
            healthy = all(finding.state != "problem" for finding in findings)
            print(as_json({"healthy": healthy, "findings": [finding._asdict() for finding in findings]}), flush=True)
        else:
            _show(findings)
        return FAILED if any(finding.state == "problem" for finding in findings) else DONE

    return guarded(body, debug=debug)


def examine() -> list[Finding]:
    """Look at everything."""
    python = f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}"
    return [
        Finding("graflow_async", "ok", __version__),
        Finding("python", "ok", f"{python} ({sys.executable})"),
        *(_package(name) for name in CORE),
        *(_extra(name, packages) for name, packages in EXTRAS.items()),
        asyncio.run(_loop()),
        _folder(Path.cwd()),
        asyncio.run(_redis(os.environ.get(REDIS_URL, ""))),
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
    """Say which loop `asyncio.run` makes."""
    kind = type(asyncio.get_running_loop())
    return Finding("event loop", "ok", f"{kind.__module__}.{kind.__qualname__}")


def _folder(folder: Path) -> Finding:
    """Try to write a file where checkpoints go by default."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("folder", "warning", f"{folder} cannot be written to ({error.strerror}): no checkpoints here")
    return Finding("folder", "ok", f"{folder} can be written to")


async def _redis(url: str) -> Finding:
    """Greet the server that the environment names."""
    if not url:
        return Finding("redis server", "info", f"{REDIS_URL} is not set; runs stay in one process")
    place = _without_password(url)
    import redis.asyncio  # slow to import, and most runs never need it
    from redis.exceptions import RedisError

    try:
        client = redis.asyncio.from_url(url, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE)
    except ValueError as error:
        return Finding("redis server", "problem", f"{REDIS_URL} ({place}): {error}")
    try:
        async with client, asyncio.timeout(_PATIENCE):
            server = await client.info("server")  # pyright: ignore[reportUnknownMemberType]
    except (RedisError, OSError, TimeoutError) as error:
        return Finding("redis server", "problem", f"{place} does not answer: {error or type(error).__name__}")
    return Finding("redis server", "ok", f"{server['redis_version']} at {place}")


def _without_password(url: str) -> str:
    """Hide the password of a URL."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))


def _show(findings: list[Finding]) -> None:
    """Print a line for each finding, coloured where stdout is a terminal."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        state = typer.style(f"{finding.state:<7}", fg=_COLOURS[finding.state])
        typer.echo(f"{state}  {finding.name:<{width}}  {finding.detail}")
