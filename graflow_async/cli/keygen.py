"""`graflow-async keygen`: a new key to sign with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..codec import generate_key
from .failures import DONE

if TYPE_CHECKING:
    import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("keygen", epilog="Example: export GRAFLOW_SECRET_KEY=$(graflow-async keygen)")(keygen)


def keygen() -> int:
    """Print a new random key for GRAFLOW_SECRET_KEY: every process that shares runs, stores or queues needs the same.

    Whoever knows it can have code run by those processes: keep it as you keep passwords.
    """
    print(generate_key(), flush=True)
    return DONE
