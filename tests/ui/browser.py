"""A real browser for the tests of the page, and the inbox served from a thread beside it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from graflow_async.brokers.memory import MemoryBroker
from graflow_async.ui import serve
from tests.ui.aids import put

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from selenium.webdriver.remote.webelement import WebElement

    from graflow_async.feedback import FeedbackRecord, FeedbackRequest

CHROMIUM = Path("/usr/bin/chromium")
DRIVER = Path("/usr/bin/chromedriver")
MISSING = "needs a browser: the Debian packages chromium and chromium-driver"
# Without these Chromium tries to reach hosts of its maker at every start.
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 60  # seconds that something on the page may take to appear
PHONE = (360, 740)

# Tags, and the names of their attributes, of everything on the page.
SHAPE = """
return [...document.querySelectorAll('*')].map(
  (node) => [node.tagName, ...[...node.attributes].map((one) => one.name).sort()].join(' ')).join('\\n')
"""
# Whether the question with a text is shown, and is the only one in the list, where it is marked.
ALONE = """
const cards = [...document.querySelectorAll('.card')];
return document.getElementById('asked')?.textContent === arguments[0]
  && cards.length === 1 && cards[0].hasAttribute('aria-current')
"""
# Elements that reach over the right edge; the page itself must not scroll sideways.
WIDE = """
const width = document.documentElement.clientWidth;
const wide = [...document.body.querySelectorAll('*')].filter(
  (one) => one.getBoundingClientRect().right > width + 0.5 && !one.classList.contains('unseen'));
const found = wide.map((one) => one.outerHTML.slice(0, 200));
return document.documentElement.scrollWidth > width ? ['the page scrolls', ...found] : found
"""
# What can be touched and is less than 44 pixels high; a check box counts with its label.
SMALL = """
const touched = [...document.querySelectorAll('button, a, summary, select, textarea, input')];
const areas = touched.filter((one) => one.offsetParent !== null).map((one) => one.closest('.choice') || one);
return JSON.stringify(areas.filter((one) => one.getBoundingClientRect().height < 43.5).map((one) => one.outerHTML))
"""
# Fields and buttons without a name for those who cannot see them.
NAMELESS = """
const fields = [...document.querySelectorAll('input, textarea, select')].filter((one) => one.labels.length === 0);
const buttons = [...document.querySelectorAll('button, a')].filter((one) => one.textContent.trim() === '');
return JSON.stringify([...fields, ...buttons].map((one) => one.outerHTML))
"""
# Texts whose contrast with what is behind them is below 4.5 to 1.
FAINT = """
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => numbers(color).slice(0, 3).map((one) => one / 255).map(
  (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)).reduce(
  (sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
const behind = (one) => {
  for (let node = one; node !== null; node = node.parentElement) {
    const color = getComputedStyle(node).backgroundColor;
    if (numbers(color)[3] !== 0) return color;
  }
  return 'rgb(255, 255, 255)';
};
const worded = [...document.body.querySelectorAll('*')].filter((one) => one.offsetParent !== null
  && [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== ''));
const faint = worded.filter((one) => {
  const [a, b] = [light(getComputedStyle(one).color), light(behind(one))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
});
return JSON.stringify(faint.map((one) => one.outerHTML.slice(0, 100)))
"""


def is_there() -> bool:
    """Tell whether this machine has a browser."""
    return CHROMIUM.exists() and DRIVER.exists()


class Site:
    """The inbox of a broker, served from a thread of its own."""

    def __init__(self, broker: MemoryBroker | None = None, **options: Any) -> None:
        """Choose what is served, and how."""
        self.broker = broker or MemoryBroker()
        self.url = ""
        self._options = {"port": 0, **options}
        self._loop = asyncio.new_event_loop()
        self._serving: asyncio.Task[None] | None = None
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inbox of a test")

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._serving = self._loop.create_task(serve(self.broker, on_ready=self._ready, **self._options))
        self._loop.run_until_complete(asyncio.wait([self._serving]))
        self._is_ready.set()

    def _ready(self, url: str) -> None:
        self.url = url
        self._is_ready.set()

    def __enter__(self) -> Self:
        """Start, and wait until it can be opened."""
        self._thread.start()
        assert self._is_ready.wait(PATIENCE)
        assert self.url, self._serving
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        assert self._serving is not None
        self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Let the site's loop do something, and give the result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def put(self, *requests: FeedbackRequest) -> FeedbackRequest:
        """Ask questions, and give the first one."""
        return self.do(put(self.broker, *requests))

    def record(self, request: FeedbackRequest) -> FeedbackRecord:
        """Give what has become of a question."""
        return self.do(self.broker.get(request.id))


class Browser:
    """Chromium, and how the tests look at a page: elements are waited for, never slept for."""

    def __init__(self, folder: Path) -> None:
        """Start it with an empty profile."""
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, f"--user-data-dir={folder}", "--window-size=1200,900"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    def open(self, address: str) -> None:
        """Open a page as if for the first time: no token of an earlier one is left, nothing has been logged."""
        self.driver.get("about:blank")
        self.driver.get(address)
        self.driver.get_log("browser")

    def look(self, theme: str = "light", size: tuple[int, int] | None = None) -> None:
        """Choose a theme, and the size of a phone or that of the window."""
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        if size is None:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        else:
            phone = {"width": size[0], "height": size[1], "deviceScaleFactor": 2, "mobile": True}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until a condition holds, and give what it gave."""
        waiting = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05, ignored_exceptions=[Exception])
        return waiting.until(lambda _: condition())

    def all(self, selector: str) -> list[WebElement]:
        """Give every element that can be seen."""
        return [one for one in self.driver.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]

    def one(self, selector: str, text: str = "") -> WebElement:
        """Wait for an element that can be seen and has a text in it."""
        return self.until(lambda: next((one for one in self.all(selector) if text in one.text), None))

    def click(self, selector: str, text: str = "") -> None:
        """Click on something as soon as it can be."""
        self.until(lambda: self.one(selector, text).click() is None)

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def script(self, text: str, *arguments: Any) -> Any:
        """Run a script in the page, and give what it returns."""
        return self.driver.execute_script(text, *arguments)

    def labelled(self, label: str) -> WebElement:
        """Give the field that a label is for, as people find it."""
        for_id = self.one("label", label).get_attribute("for")
        assert for_id
        return self.driver.find_element(By.ID, for_id)

    def complaints(self) -> list[str]:
        """Give what the browser has complained of since the page was opened."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]
