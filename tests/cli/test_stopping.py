"""Ctrl-C and SIGTERM: the run is cancelled cleanly, and nobody has to wait for what ignores it."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.cli.conftest import NOTICE


def stop(project: Any, *arguments: str, signals: tuple[signal.Signals, ...]) -> tuple[int, str, str]:
    """Start a run, wait until its task has begun, send signals (the next one when the last was noticed)."""
    with project.popen("run", *arguments) as child:
        for line in child.stderr if "--json" in arguments else child.stdout:
            if line == "started\n":
                break
        for number, name in enumerate(signals):
            if number:
                assert "Ctrl-C again" in child.stderr.readline()
            child.send_signal(name)
        out, complaints = child.communicate(timeout=60)
    return child.returncode, out, complaints


@pytest.mark.parametrize(
    ("name", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_cancels_cleanly(project: Any, name: signal.Signals, code: int, word: str) -> None:
    """The task sees its cancellation and cleans up before the program ends with the code of the signal."""
    given, out, complaints = stop(project, "flows:patient", signals=(name,))
    assert (given, out, complaints.removeprefix(NOTICE)) == (code, "cleaned up\n", f"error: {word}\n")


def test_json_tells_of_the_cancellation(project: Any) -> None:
    """An interrupted run still gives its JSON object."""
    code, out, complaints = stop(project, "flows:patient", "--json", signals=(signal.SIGINT,))
    assert (code, json.loads(out)["status"]) == (130, "cancelled")
    assert complaints.replace(NOTICE, "").splitlines() == ["cleaned up", "error: interrupted"]


def test_a_second_ctrl_c_leaves_at_once(project: Any) -> None:
    """A task that ignores its cancellation cannot hold a user who presses Ctrl-C twice."""
    code, _, complaints = stop(project, "flows:stubborn", signals=(signal.SIGINT, signal.SIGINT))
    assert (code, complaints) == (130, "error: interrupted\n")


@pytest.mark.slow
def test_one_ctrl_c_is_enough(project: Any) -> None:
    """A task that ignores its cancellation is given up after the run's grace, and the program ends."""
    code, _, complaints = stop(project, "flows:stubborn", signals=(signal.SIGINT,))
    assert code == 130
    assert "left behind" in complaints
    assert complaints.endswith("error: interrupted\n")
