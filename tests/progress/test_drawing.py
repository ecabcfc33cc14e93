"""The picture by itself: it fits, shows texts as they are, and its numbers are right."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from graflow_async.progress._drawing import picture_of
from graflow_async.progress._pace import WINDOW, Pace
from graflow_async.progress._shown import Bar, Shown, bar_words
from graflow_async.progress._words import clock, number, plain, rate, shown, span
from tests.progress.terminal import Screen

HOSTILE = "\x1b[2J\x1b]0;title\x07[bold red]x[/nothing]\r\n\u202e\x00\x9b"


def run(name: str = "w", bars: int = 0, asked: int = 0, notes: int = 0) -> Shown:
    """Make a run that is to be drawn."""
    pace = Pace()
    return Shown(
        name,
        "0:00:01",
        [("3", "running"), ("12", "done"), ("1", "failed")],
        "5/s",
        [f"waiting: note {n}" for n in range(notes)],
        [f"t{n} asks: why?" for n in range(asked)],
        [Bar(f"bar{n}", n, 10.0, pace, "m") for n in range(bars)],
    )


def draw(*runs: Shown, width: int = 80, height: int = 24) -> list[str]:
    """Draw runs and give what is to be seen; no line may be longer than the terminal, and not too many may there be."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, height=height, _environ={"TERM": "xterm"})
    console.print(picture_of(runs, width, height))
    lines = Screen(file.getvalue().replace("\n", "\r\n")).text
    assert max(map(len, lines)) <= width
    assert len(lines) < height
    return lines


def test_a_run() -> None:
    """The first line counts, then come reasons and questions, then bars."""
    lines = draw(run(bars=2, asked=1, notes=1))
    assert lines[:3] == ["w  0:00:01  3 running, 12 done, 1 failed  5/s", "  waiting: note 0", "  t0 asks: why?"]
    assert [line.split()[0] for line in lines[3:]] == ["bar0", "bar1"]
    assert "1/10" in lines[4]


@pytest.mark.parametrize("height", [2, 3, 5, 8, 24])
@pytest.mark.parametrize("width", [10, 40, 200])
def test_it_fits(width: int, height: int) -> None:
    """Whatever there is to show, it is not higher nor wider than the terminal."""
    draw(*(run(f"run number {n}", bars=30, asked=9, notes=9) for n in range(12)), width=width, height=height)
    draw(run(bars=30, asked=9, notes=3), width=width, height=height)


def test_what_does_not_fit_is_counted() -> None:
    """Bars and runs for which there is no room are counted in a line."""
    assert draw(run(bars=30))[-1] == "  ... and 23 more"
    assert draw(*(run(f"w{n}") for n in range(20)), height=12)[-1].startswith("... and ")


def test_markup_is_text() -> None:
    """What looks like markup is shown as it is, wherever it stands."""
    text = "[bold]x[/bold] :smile: [link=http://x]"
    one = Shown(text, "0:00:01", [("1", "done")], "", [f"failed: {text}"], [text], [Bar(text, 1, 2, Pace(), text)])
    lines = draw(one, width=200)
    assert [line.count(text) for line in lines] == [1, 1, 1, 2]


@pytest.mark.parametrize("total", [None, 0.0, -1.0, 5.0])
@pytest.mark.parametrize("done", [-3.0, 0.0, 9.0, 1e300])
def test_any_numbers(done: float, total: float | None) -> None:
    """A bar is drawn whatever its numbers are."""
    one = run()._replace(bars=[Bar("b", done, total, Pace(), "")])
    assert len(draw(one)) == 2


def test_plain() -> None:
    """A text becomes one printable line of bounded length."""
    assert plain(HOSTILE) == "\\x1b[2J\\x1b]0;title\\x07[bold red]x[/nothing] \\u202e\\x00\\x9b"
    assert plain("a" * 10_000_000, 10) == "aaaaaaa..."
    assert plain("\x1b" * 100, 10).isprintable()
    assert len(plain("\x1b" * 100, 10)) == 10
    assert plain(None) == "None"

    class Broken:
        def __str__(self) -> str:
            raise ValueError("no")

    assert plain(Broken()) == "<ValueError>"


def test_numbers() -> None:
    """Numbers, rates and times are written in few characters; what is none has no place on a bar."""
    assert [number(x) for x in (1, "2", None, "x", float("nan"), float("inf"), [])] == [1, 2, *[None] * 5]
    assert [shown(x) for x in (3.0, 2.5, 1e15)] == ["3", "2.5", "1e+15"]
    assert [rate(x) for x in (None, 0.0, 123.4, 2.34, 0.05)] == ["", "", "123/s", "2.3/s", "3.0/min"]
    assert [clock(0.9), clock(3_723), clock(-1)] == ["0:00:00", "1:02:03", "0:00:00"]
    assert [span(2.34), span(75)] == ["2.3 s", "0:01:15"]


def test_pace() -> None:
    """A rate is that of the last while; the rest of the time follows from it."""
    pace = Pace()
    assert (pace.rate, pace.left(10)) == (None, None)
    pace.see(0.0, 0)
    assert pace.rate is None
    pace.see(2.0, 10)
    assert (pace.rate, pace.left(20), pace.left(None), pace.left(5)) == (5.0, 2.0, None, 0.0)
    assert bar_words(Bar("b", 10, 20, pace, "")) == ("10/20", "5.0/s", "0:00:02 left")
    for second in range(3, 100):
        pace.see(float(second), 10 + second)
    assert pace.rate == pytest.approx(1.0)
    assert pace.left(1e12) is None
    pace.see(100.0, 3)  # it has begun anew
    assert pace.rate is None
    pace.see(100.0 + 2 * WINDOW, 3)
    assert (pace.rate, pace.left(5)) == (0.0, None)
