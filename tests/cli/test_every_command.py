"""Every command on a real terminal: its help, what it does, what it says to nonsense, and Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async import codec
from tests.cli.conftest import Project
from tests.cli.consoles import COLOUR, PATIENCE, WIDTH, Console, console_in
from tests.cli.questions import MODULE as ASKING
from tests.cli.recorded import MODULE as JOBS
from tests.cli.test_distribution import die_of

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = [
    "run",
    "resume",
    *(f"runs {name}" for name in ("list", "show", "timeline", "graph", "explain", "plan")),
    *(f"feedback {name}" for name in ("list", "show", "answer", "cancel", "send", "watch")),
    *(f"dead {name}" for name in ("list", "show", "retry", "drop")),
    "ui",
    "worker",
    "graph",
    "keygen",
    "doctor",
]
STUCK = "print('importing', flush=True)\nwhile True:\n    pass\n"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Open a terminal in a folder with a run that failed (`f`), one that is done (`d`), and one that asks (`q`)."""
    folder = tmp_path_factory.mktemp("console")
    for name, text in {"jobs": JOBS, "asking": ASKING, "stuck": STUCK}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    project = Project(folder)
    with console_in(folder, {**project.environment, "COLUMNS": str(WIDTH), "HOME": str(folder)}) as console:
        (folder / "hurdle").touch()
        place = ("--checkpoint-dir", "checkpoints")
        assert console("run", "jobs:job", *place, "--run-id", "f")[0] == 1
        (folder / "hurdle").unlink()
        assert console("run", "jobs:job", *place, "--run-id", "d") == (0, "third prints\n21\n")
        code, screen = console("run", "asking:asking", *place, "--run-id", "q", "--input", "timeout=0.01")
        assert (code, screen.count("\n")) == (3, 1)
        assert screen.startswith("paused: run q: nobody answered 'colour'")
        yield console


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_and_has_an_example(console: Console, command: str) -> None:
    """`--help` is a success, keeps to the width of the terminal, and shows the command in use."""
    code, screen = console(*command.split(), "--help")
    lines = COLOUR.sub("", screen).splitlines()
    assert code == 0
    assert max(map(len, lines)) <= WIDTH
    text = " ".join(" ".join(lines).split())
    example = {"keygen": "Example: export GRAFLOW_SECRET_KEY=$(graflow-async keygen)"}
    assert example.get(command, f"Example: graflow-async {command} ") in text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run jobs:first --input n=5", ["5\n"]),
        ("resume d", ["21"]),
        ("runs list", ["asking", "paused", "failed", "completed"]),
        ("runs show d", ["3 steps:", "third"]),
        ("runs timeline d", ["first", "second", "third", "* determined when the run ended"]),
        ("runs graph f", ["first: completed", "second: failed"]),
        ("runs explain f third", ["third never began", "'second' (failed)"]),
        ("runs plan f", ["kept     first", "to run   third"]),
        ("feedback list", ["colour", "open", "Which one?"]),
        ("feedback show colour", ["1) red", "2) green"]),
        ("feedback send q paid {}", ["sent 'paid' to run q"]),
        ("graph jobs:job", ["first", "third"]),
        ("doctor", ["signing key", "\x1b[32mok"]),
    ],
)
def test_commands_do_what_they_are_for(console: Console, line: str, expected: list[str]) -> None:
    """The happy path reaches the screen: code 0, and what a person looks for."""
    code, screen = console(*line.split())
    assert code == 0, screen
    assert [word for word in expected if word not in screen] == []


@pytest.mark.parametrize(
    "line",
    [
        *("runs list", "runs show d", "runs timeline d", "runs graph d", "runs explain d second", "runs plan d"),
        *("feedback list", "feedback show colour", "graph jobs:job", "doctor", "run jobs:first", "resume d"),
    ],
)
def test_json_is_one_line_without_colours(console: Console, line: str) -> None:
    """`--json` is JSON on a terminal, too: the only line that is no print of a task."""
    code, screen = console(*line.split(), "--json")
    found: Any = json.loads(screen.splitlines()[-1])
    assert (code, bool(found)) == (0, True)
    assert set(screen.splitlines()[:-1]) <= {"third prints"}


@pytest.mark.parametrize(
    ("line", "code", "word"),
    [
        ("run jobs:jbo", 2, "did you mean job"),
        ("run jobs:job --input n=x", 2, "input 'n' is int, not 'x'"),
        ("run jobs:job --inptu n=1", 2, "--input"),
        ("rnu", 2, "Did you mean 'run'?"),
        ("resume nothing", 2, "'nothing' is neither a run"),
        ("runs lst", 2, "Did you mean 'list'?"),
        ("runs list --checkpoint-dir jobs.py", 2, "jobs.py is no directory"),
        ("runs --checkpoint-dir x list", 2, "--checkpoint-dir stands after the command: runs list"),
        ("runs show nothing", 2, "'nothing'"),
        ("runs timeline d --json --format svg", 2, "--json is a format of its own"),
        ("runs graph d --json --format svg", 2, "--json is a format of its own"),
        ("runs explain d secnd", 2, "'second'"),
        ("runs plan nothing", 2, "'nothing'"),
        ("feedback show nothing", 2, "no question 'nothing'"),
        ("feedback answer colour --select blue", 2, "answer with --select"),
        ("feedback cancel nothing", 2, "no question 'nothing'"),
        ("feedback send q paid {", 2, "the event is no JSON"),
        ("feedback watch --checkpoint-dir nowhere", 2, "no directory nowhere"),
        ("feedback list --checkpoint-dir jobs.py", 2, "jobs.py is no directory"),
        ("dead list --redis-url nonsense", 2, "no address of a Redis"),
        ("dead show 1-1 --redis-url unix:///no/redis.sock", 1, "does not answer"),
        ("dead retry", 2, "LETTER"),
        ("dead drop 1-1 --redis-url nonsense", 2, "no address of a Redis"),
        ("ui --port 99999", 2, "--port"),
        ("worker --bogus", 2, "--bogus (see `graflow-async worker --help`)"),
        ("worker --threads many", 2, "'many'"),
        ("graph jobs:job --format png", 2, "'mermaid'"),
        ("keygen extra", 2, "extra"),
        ("doctor --checkpoint-dir", 2, "--checkpoint-dir"),
    ],
)
def test_nonsense_is_one_line(console: Console, line: str, code: int, word: str) -> None:
    """What cannot be is told in one line, however wide, with the exit code that belongs to it."""
    ended, screen = console(*line.split())
    assert (ended, screen.count("\n")) == (code, 1), screen
    assert screen.startswith("error: ")
    assert word in screen


@pytest.mark.parametrize(
    "line",
    ["run stuck:x", "resume d stuck:x", "graph stuck:x"] + [f"runs {name} d stuck:x" for name in ("show", "plan")],
)
def test_ctrl_c_while_a_module_is_imported(console: Console, line: str) -> None:
    """Ctrl-C ends a command that is still reading code."""
    console.begin(*line.split())
    console.see("importing\r\n")  # the key throws away what the terminal has not shown yet
    console.type(b"\x03")
    assert console.end() == (130, "importing\nerror: interrupted\n")


@pytest.mark.parametrize("line", ["dead list --redis-url", "doctor --redis-url", "runs list --checkpoint-dir"])
def test_ctrl_c_while_a_server_is_silent(console: Console, line: str) -> None:
    """Ctrl-C ends a command that waits for a Redis that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        console.begin(*line.split(), f"redis://127.0.0.1:{server.getsockname()[1]}")
        with server.accept()[0]:
            console.type(b"\x03")
            assert console.end() == (130, "error: interrupted\n")


def test_ctrl_c_says_how_to_go_on_and_it_does(console: Console, tmp_path: Any) -> None:
    """A recorded run that Ctrl-C ends names the command that goes on with it; a question stays open."""
    place = ("--checkpoint-dir", str(tmp_path))
    for words in (("run", "asking:asking", "--run-id", "c"), ("resume", "c", "asking:asking")):
        console.begin(*words, *place, "--progress")
        console.see("Which one?")
        console.type(b"\x03")
        code, screen = console.end()
        assert code == 130
        assert f"error: interrupted; resume it with: graflow-async resume c --checkpoint-dir {tmp_path}\n" in screen


def test_ctrl_c_leaves_a_question_open(console: Console, tmp_path: Any) -> None:
    """Whoever is asked at the terminal may leave, and answer later; then the run goes on with the answer."""
    place = ("--checkpoint-dir", str(tmp_path))
    assert console("run", "asking:asking", "--run-id", "c", "--input", "timeout=0.01", *place)[0] == 3
    console.begin("feedback", "answer", "colour", *place)
    console.see("number of the option: ")
    console.type(b"\x03")
    assert console.end()[0] == 130
    console.begin("feedback", "answer", "colour", *place)
    console.see("number of the option: ")
    console.type(b"7\n")
    console.see("from 1 to 2")
    console.type(b"2\n")
    code, screen = console.end()
    assert code == 0
    assert f"resume with: graflow-async resume c --checkpoint-dir {tmp_path}" in screen
    code, screen = console("resume", "c", *place)
    assert (code, "green" in screen) == (0, True)


def test_what_runs_until_ctrl_c_ends_well(console: Console, redis_url: str) -> None:
    """For a watch, an inbox and a worker Ctrl-C is the usual end: code 0 and no error."""
    for line, word in (
        ("feedback watch", "Which one?"),
        ("ui --port 0", "the inbox is at"),
        (f"worker --worker-id w1 --redis-url {redis_url}", "serves"),
    ):
        console.begin(*line.split())
        console.see(word)
        console.type(b"\x03")
        code, screen = console.end()
        assert (code, "error" in screen.lower()) == (0, False), screen


def test_dead_letters_and_keys(console: Console, redis_url: str) -> None:
    """An operator lists, shows, retries and drops letters; a new key is a line that signs."""
    first, second = asyncio.run(die_of(redis_url, "4.1.1", "5.1.1"))
    for words, expected in (
        (("list",), second),
        (("show", first), "killed by signal 9"),
        (("retry", first), f"{first}: queued\n"),
        (("drop", second), f"{second}: dropped\n"),
        (("list",), "no dead letters"),
    ):
        code, screen = console("dead", *words, "--redis-url", redis_url)
        assert (code, expected in screen) == (0, True), screen
    code, screen = console("keygen")
    assert (code, codec.Keyring.load(screen.strip()).is_local) == (0, False)


def test_no_colour_where_none_is_wanted(console: Console) -> None:
    """NO_COLOR takes the colours off help and findings."""
    for line in ("doctor", "run --help"):
        code, screen = console(*line.split(), NO_COLOR="1")
        assert (code, "\x1b[3" in screen) == (0, False)
