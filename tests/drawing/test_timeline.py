"""The timeline: what is in a chart, that it stays readable however much there is, and that it is safe to open."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from graflow_async.draw import timeline_html, timeline_svg
from graflow_async.draw.text import TIMES, duration
from graflow_async.draw.timeline import BINS, EACH, FINEST, MOST_ROWS, Bar, chart, joined, load, ticks
from graflow_async.story import Span
from tests.drawing import graphs
from tests.drawing.stories import KINDS, START, random_story, span, waiting

SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """Reads a page: every element that is open at the end was not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.script = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.script += data

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]


def hostile() -> list[Span]:
    """Make spans whose ids, waits and errors are markup."""
    spans = [span(text, key, key, key + 2) for key, text in enumerate(graphs.HOSTILE, 1)]
    for made in spans:
        made.error = f"</title></style></script><script>alert(1)</script>{made.task_id}"
        waiting(made, "event", 1.0, 2.0, f'"><img src=x onerror=alert(1)> {made.task_id}\x00')
    return spans


def test_rows_are_in_order_with_children_below() -> None:
    """What began first stands first, children below what started them, turns and attempts beside each other."""
    spans = [
        span("a", 1, 0, 2),
        span("a", 1, 2, 4, turn=2),
        span("b", 2, 4, 6, "retrying", queued=4),
        span("a_kid", 3, 1, 2, parent=1),
        span("b", 2, 7, 9, attempt=2, queued=7),
    ]
    made = chart(spans, [spans[0], spans[2]])
    assert [(row.label, row.depth, len(row.bars)) for row in made.rows] == [("a", 0, 2), ("a_kid", 1, 1), ("b", 0, 2)]
    assert made.rows[0].note == "4 s, 2 turns"
    assert made.seconds == pytest.approx(9)
    assert [row.is_critical for row in made.rows] == [True, False, True]
    assert [row.label for row, _ in made.path] == ["a", "b"]


def test_what_has_not_begun_is_a_thin_line() -> None:
    """The time between being ready and beginning is drawn, with what was waited for."""
    late = waiting(span("a", 1, 5, 6, queued=1), "limit", 1, 5, "gpu")
    (row,) = chart([late, span("b", 2, 0, 1)]).rows[:1]
    assert [bar.status for bar in row.bars] == ["queued", "completed"]
    (wait,) = row.waits
    assert (wait.status, wait.begin, wait.end) == ("limit", pytest.approx(1), pytest.approx(5))
    assert "limit: gpu" in wait.words


def test_what_goes_on_is_drawn_until_now() -> None:
    """A task that has not ended reaches to the moment that is given, else to the last one known."""
    spans = [span("a", 1, 0, None, "running"), span("b", 2, 0, 3)]
    assert chart(spans).rows[0].bars[0].end == pytest.approx(3)
    assert chart(spans, now=START + 10).rows[0].bars[0].end == pytest.approx(10)
    assert chart([]).rows == []


def test_many_of_a_kind_share_a_row() -> None:
    """Beyond a number children of one kind are one row that tells how many ran at once, and what failed."""
    parent = span("p", 1, 0, 100)
    few = [span(f"t_{n}", 10 + n, n, n + 1, parent=1) for n in range(EACH)]
    assert len(chart([parent, *few]).rows) == 1 + EACH
    many = [span(f"t_{n}", 10 + n, n / 8, n / 8 + 1, parent=1) for n in range(1000)]
    many[500].status = "failed"
    inner = [span("deep", 5000, 1, 2, parent=many[0].key)]
    made = chart([parent, *many, *inner], [many[-1]])
    row = made.rows[1]
    assert row.label == f"t {TIMES} 1,000"
    assert max(row.load) == 8, "each begins an eighth of a second after the one before and takes a second"
    assert row.note == "2 min 6 s, 1 failed, 1 inside"
    assert [bar.status for bar in row.bars] == ["failed", "completed"]
    assert made.path[-1][1].is_critical


@pytest.mark.parametrize("kinds", [1, 10_000])
def test_ten_thousand_spans_stay_a_chart(kinds: int) -> None:
    """However many spans there are, rows and elements are bounded, and what is left out is counted."""
    spans = [span(f"t{n % kinds}", n + 1, n, n + 1 + n % 7) for n in range(10_000)]
    critical = spans[:: 10_000 // 50]
    made = chart(spans, critical)
    assert len(made.rows) <= MOST_ROWS
    text, page = timeline_svg(spans, critical=critical), timeline_html(spans, critical=critical)
    assert len(list(ET.fromstring(text).iter())) < 60 * MOST_ROWS  # noqa: S314  # the text is ours
    assert page.count("<span") < 30 * MOST_ROWS
    if kinds > 1:
        assert made.hidden == 10_000 - MOST_ROWS
        assert "the 9,700 shortest rows are left out" in text
        assert all(row.is_critical for row in made.rows if row.label in {one.task_id for one in critical})
        assert sum(row.is_critical for row in made.rows) == len(critical)


def test_many_turns_stay_bounded() -> None:
    """A task of ten thousand turns has a bar for what can be seen, and says how many a bar stands for."""
    spans = [span("a", 1, n, n + 0.9, turn=n + 1) for n in range(10_000)]
    (row,) = chart(spans).rows
    assert len(row.bars) <= FINEST
    assert sum(bar.count for bar in row.bars) == 10_000
    assert "too short to be told apart" in row.bars[0].words


def test_a_long_line_of_children_is_drawn() -> None:
    """Children of children of children do not exhaust the stack."""
    spans = [span(f"t{key}", key, key, key + 1, parent=key - 1 or None) for key in range(1, 3001)]
    made = chart(spans)
    assert len(made.rows) + made.hidden == 3000
    assert all(row.depth <= 8 for row in made.rows)


def test_load_counts_what_runs_at_once() -> None:
    """Each step has the most that ran in it; neighbours that only touch are not two."""
    bars = [Bar(0, 50, "completed", ""), Bar(25, 75, "completed", ""), Bar(50, 100, "completed", "")]
    found = load(bars, 100)
    assert len(found) == BINS
    assert found[int(BINS * 0.1)] == 1
    assert found[int(BINS * 0.3)] == 2
    assert found[int(BINS * 0.6)] == 2
    assert found[int(BINS * 0.9)] == 1
    assert max(found) == 2
    assert joined([], 1.0) == []


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 0.0123, 0.5, 1.0, 9.99, 61.0, 3599.0, 86_400.0, 1e7])
def test_axis_names_round_moments(seconds: float) -> None:
    """An axis has a few moments at equal distances, from 0 to at most the end, each with words of its own."""
    found = ticks(seconds)
    assert found[0] == 0
    assert 1 <= len(found) <= 9
    assert found[-1] <= seconds + 1e-12
    distances = [later - before for before, later in pairwise(found)]
    assert all(distance == pytest.approx(distances[0]) for distance in distances)
    assert len({duration(moment) for moment in found}) == len(found)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0, "0 s"), (2.5e-8, "25 ns"), (2.5e-6, "2 µs"), (0.00123, "1.23 ms"), (0.0999, "99.9 ms"), (0.9996, "1 s")),
        *((12.34, "12.3 s"), (59.96, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (86_400 * 3, "3 d"), (-1.5, "-1.5 s")),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    """Three digits, in the unit that people would use."""
    assert duration(seconds) == words


def test_svg_is_well_formed_and_says_what_waits_were() -> None:
    """Every kind of wait has a hatching of its own, in the chart and in the legend."""
    base = span("a", 1, 0, 100)
    for place, kind in enumerate(KINDS):
        waiting(base, kind, 10 * place, 10 * place + 5, "about")
    root = ET.fromstring(timeline_svg([base]))  # noqa: S314  # the text is ours
    patterns = {
        pattern.get("id"): "".join(part.get("d", "") for part in pattern) for pattern in root.iter(f"{SVG}pattern")
    }
    assert set(patterns) == {f"graflow-wait-{kind}" for kind in KINDS}
    assert len(set(patterns.values())) == len(KINDS)
    used = re.findall(r"url\((#[\w-]+)\)", timeline_svg([base]))
    assert set(used) == {f"#{name}" for name in patterns}
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert all(f"waits: {kind}" in texts for kind in KINDS)


def test_hostile_names_stay_text() -> None:
    """Ids, errors and questions with markup give a valid picture and page, and nothing of them is an element."""
    text = timeline_svg(hostile(), heading="</svg><script>")
    tags = {element.tag.split("}")[1] for element in ET.fromstring(text).iter()}  # noqa: S314  # the text is ours
    assert tags == {"svg", "title", "style", "defs", "pattern", "g", "rect", "path", "circle", "text"}
    page = Page(timeline_html(hostile(), heading="</title><script>alert(1)</script>"))
    assert not page.open
    assert {tag for tag, _ in page.tags if tag in {"img", "script", "iframe", "a", "link"}} == {"script"}
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert "alert" not in page.script
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)


def test_the_page_fetches_nothing_and_runs_only_its_own_script() -> None:
    """The page forbids everything but its style and the script whose hash it names."""
    page = Page(timeline_html(hostile()))
    (policy,) = (attrs["content"] or "" for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not any(name in {"src", "href", "action", "srcset"} for _, attrs in page.tags for name in attrs)
    assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttp", timeline_html([span("a", 1)]))


@pytest.mark.parametrize("seed", range(3))
def test_the_same_spans_give_the_same_timeline(seed: int) -> None:
    """Drawings can be compared and kept under version control."""
    graph = graphs.mixed(seed, 30)
    first, second = random_story(graph, seed), random_story(graph, seed)
    assert timeline_svg(first, critical=first[::4]) == timeline_svg(second, critical=second[::4])
    assert timeline_html(first) == timeline_html(second)
