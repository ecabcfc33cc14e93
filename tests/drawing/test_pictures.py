"""Pictures in a real browser: with real fonts nothing overlaps, nothing is clipped, everything can be read."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

import pytest

from graflow_async.draw import ran, timeline_html, timeline_svg, to_svg
from tests.drawing import graphs
from tests.drawing.stories import random_story
from tests.ui import browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ui.browser import Browser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not browser.is_there(), reason=browser.MISSING)]

# What is wrong with a picture: texts that leave their box or meet each other, boxes that overlap, what is cut off.
# Where lines run does not depend on a browser: test_svg and test_ran look at that.
FAULTS = """
const found = [], svg = document.documentElement, all = (what, inside = svg) => [...inside.querySelectorAll(what)];
const area = (one) => one.getBoundingClientRect(), slack = 0.6;
const inside = (a, b) => a.left >= b.left - slack && a.right <= b.right + slack
  && a.top >= b.top - slack && a.bottom <= b.bottom + slack;
const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > slack
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > slack;
const whole = area(document.querySelector('.paper'));
const groups = new Map(all('.group').map((one) => [one.dataset.id, one.querySelector('.box')]));
const texts = all('text').map((one) => ({one, area: area(one), text: one.textContent}));
for (const {one, area: place, text} of texts) {
  const owner = one.closest('.task, .group-title');
  const box = owner === null ? whole : area(owner.querySelector('.box') || groups.get(owner.dataset.id));
  if (!inside(place, box)) found.push(`${text} is clipped`);
}
// The boxes of lines below each other may touch: what counts is where letters are.
const thin = ({text, area: a}) => (
  {id: text, area: {left: a.left, right: a.right, top: a.top + 3, bottom: a.bottom - 3}});
const overlaps = (many) => {
  const sorted = many.sort((a, b) => a.area.top - b.area.top);
  sorted.forEach((one, index) => {
    for (let at = index + 1; at < sorted.length && sorted[at].area.top < one.area.bottom; at += 1) {
      if (meet(one.area, sorted[at].area)) found.push(`${one.id} and ${sorted[at].id} overlap`);
    }
  });
};
overlaps(texts.map(thin));
overlaps(all('.task').map((one) => ({id: one.dataset.id, area: area(one.querySelector('.box'))})));
for (const one of all('rect, path, circle').filter((one) => one.closest('defs') === null)) {
  const place = area(one);
  if (!inside(place, whole)) found.push(`${one.outerHTML.slice(0, 80)} leaves the picture`);
}
return found
"""
# Texts whose contrast with what is behind them is below 4.5 to 1, and how many colours there are.
FAINT = """
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => numbers(color).slice(0, 3).map((one) => one / 255).map(
  (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)).reduce(
  (sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
const fill = (one) => getComputedStyle(one).fill, paper = document.querySelector('.paper');
const behind = (one) => (one.closest('.task, .group-title') || document).querySelector('.box, .under') || paper;
return [...document.querySelectorAll('text')].filter((one) => {
  const owner = one.closest('.task, .group-title');
  const [a, b] = [light(fill(one)), light(fill(owner === null ? paper : behind(one)))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
}).map((one) => `${one.textContent}: ${fill(one)}`)
"""
GRAPHS = {
    "three": graphs.ALL["three"],
    "nested": graphs.nested,
    "crossing": graphs.crossing,
    "into_itself": graphs.into_itself,
    "hostile": graphs.hostile,
    "loops": graphs.loops,
    "sparse_30": lambda: graphs.sparse(11, 30, 0.2),
    "mixed_30": lambda: graphs.mixed(12, 30),
    "sparse_300": lambda: graphs.sparse(13, 300, 0.05),
    "mixed_300": lambda: graphs.mixed(14, 300),
    "branches": graphs.branches,
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Give one browser for all tests."""
    started = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


def show(page: Browser, folder: Path, text: str, kind: str = "svg") -> None:
    """Open a picture from a file, as by double click."""
    file = folder / f"picture.{kind}"
    file.write_text(text, encoding="utf-8")
    page.look()
    page.open(file.as_uri())


def png_of(page: Browser) -> tuple[int, int]:
    """Render what is shown as PNG, and give its size."""
    clip = page.script("const a = document.querySelector('.paper').getBoundingClientRect(); return [a.width, a.height]")
    place = {"x": 0, "y": 0, "width": clip[0], "height": clip[1], "scale": min(1.0, 2000 / max(clip))}
    taken: dict[str, Any] = page.driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": place}
    )
    data = base64.b64decode(taken["data"])
    assert data.startswith(b"\x89PNG")
    assert len(data) > 1000, "an empty picture is smaller"
    return struct.unpack(">II", data[16:24])


@pytest.mark.parametrize("name", GRAPHS)
def test_declared_graphs_are_readable(page: Browser, tmp_path: Path, name: str) -> None:
    """Graphs of 3, 30 and 300 tasks with groups in groups, loops and hostile names, as they are declared."""
    show(page, tmp_path, to_svg(GRAPHS[name](), name))
    assert page.script(FAULTS) == []
    assert min(png_of(page)) > 50


@pytest.mark.parametrize(
    ("name", "seed"), [("three", 1), ("nested", 2), ("loops", 3), ("sparse_30", 4), ("mixed_300", 5)]
)
def test_runs_are_readable(page: Browser, tmp_path: Path, name: str, seed: int) -> None:
    """Runs of such graphs, with all states, children, turns, jumps and a critical path, on light and dark pages."""
    graph = GRAPHS[name]()
    story = random_story(graph, seed)
    show(page, tmp_path, to_svg(ran(graph, story, critical=story[::6], heading=f"{name}: completed"), name))
    assert page.script(FAULTS) == []
    assert page.script(FAINT) == []
    page.look("dark")
    assert page.script(FAINT) == []
    png_of(page)


@pytest.mark.parametrize(("name", "seed"), [("three", 1), ("hostile", 2), ("sparse_30", 3), ("mixed_300", 4)])
def test_timelines_are_readable(page: Browser, tmp_path: Path, name: str, seed: int) -> None:
    """Labels, notes and moments of a timeline meet nothing, and can be read on light and dark pages."""
    story = random_story(GRAPHS[name](), seed)
    show(page, tmp_path, timeline_svg(story, critical=story[::6], heading=name))
    assert page.script(FAULTS) == []
    assert page.script(FAINT) == []
    page.look("dark")
    assert page.script(FAINT) == []
    png_of(page)


def test_the_page_of_a_timeline_works_from_a_file(page: Browser, tmp_path: Path) -> None:
    """Opened from a disk it filters, zooms and explains what is pointed at; the browser complains of nothing."""
    story = random_story(graphs.sparse(5, 60), 7)
    show(page, tmp_path, timeline_html(story, critical=story[::6], heading="a <b> & c"), "html")
    rows = len(page.all(".row[data-name]"))
    assert rows > 30
    clipped = (
        "return [...document.querySelectorAll('.name b')].filter((one) => one.scrollWidth > one.clientWidth).length"
    )
    assert page.script(clipped) == 0
    page.labelled("Find").send_keys("T1")
    page.until(lambda: len(page.all(".row[data-name]")) < rows)
    assert all("t1" in (row.get_attribute("data-name") or "") for row in page.all(".row[data-name]"))
    page.labelled("Find").send_keys("nothing is called so")
    page.one("#none")
    page.script("find.value = ''; find.dispatchEvent(new Event('input'))")
    page.click("#path")
    critical = page.all(".row[data-name]")
    assert 0 < len(critical) < rows
    width = page.script("return chart.scrollWidth")
    page.click("button[data-zoom='2']")
    assert page.script("return chart.scrollWidth") > width
    page.click("button[data-zoom='0']")
    assert page.script("return chart.scrollWidth") == width
    bar = page.one(".bar")
    page.script(
        "arguments[0].dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: 400, clientY: 300}))", bar
    )
    assert page.one("#about").text == bar.get_attribute("data-about")
    assert page.complaints() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_of_a_timeline_can_be_read(page: Browser, tmp_path: Path, theme: str) -> None:
    """Texts of the page have contrast, and on a phone the page itself does not scroll sideways."""
    show(page, tmp_path, timeline_html(random_story(graphs.sparse(5, 30), 7), heading="a"), "html")
    page.look(theme)
    assert page.script(browser.FAINT) == "[]"
    page.look(theme, browser.PHONE)
    assert page.script("return document.documentElement.scrollWidth <= innerWidth")
