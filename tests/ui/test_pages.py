"""The pages and their files: headers, what they may load, and how their script makes elements."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from graflow_async.brokers.memory import MemoryBroker
from tests.ui.aids import AUTHORISED, connect, operated, put, question

STATIC = {file.name: file.read_text(encoding="utf-8") for file in (files("graflow_async.ui") / "static").iterdir()}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
)


class Reader(HTMLParser):
    """Collects the elements of a document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    "path",
    ["/", "/q/x", "/static/app.js", "/static/none", "/api/health", "/api/questions", "/none", "/api/questions/x"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_every_response_is_guarded(broker: MemoryBroker, path: str, method: str) -> None:
    """Nothing is cached, framed, sniffed or shared with other sites, whatever the answer; and no cookie is set."""
    async with connect(operated(broker)) as client:
        reply = await client.request(method, path)
    assert reply.status_code in (200, 401, 404, 405)
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-security-policy"] == POLICY
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert not [name for name in reply.headers if name in ("set-cookie", "server") or name.startswith("access-control")]
    if reply.status_code == 405:
        assert reply.headers["allow"]


async def test_pages_load_their_own_files_only(broker: MemoryBroker) -> None:
    """Every address in the page is a file of ours, relative, so that it works below any path and without internet."""
    async with connect(operated(broker)) as client:
        for path, root in (("/", ""), ("/q/" + "0" * 32, "../")):
            reader = Reader((await client.get(path)).text)
            found = [attrs[name] for _, attrs in reader.tags for name in ("src", "href") if name in attrs]
            assert found == [f"{root}static/icon.svg", f"{root}static/app.css", f"{root}static/app.js"]
            for address in found:
                assert (await client.get(str(address).removeprefix("..").lstrip("/"))).status_code == 200
            assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on") or name == "style"]


@pytest.mark.parametrize("name", sorted(STATIC))
async def test_files_are_what_they_say(broker: MemoryBroker, name: str) -> None:
    """Each file has its type; the document itself is no file."""
    types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
    async with connect(operated(broker)) as client:
        reply = await client.get(f"/static/{name}")
    if name == "index.html":
        assert reply.status_code == 404
    else:
        assert (reply.text, reply.headers["content-type"]) == (STATIC[name], types[name.rpartition(".")[2]])


def test_scripts_make_no_markup_of_text() -> None:
    """No script uses a way that would read text as markup or code, and none talks to another host."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setHTML|srcdoc|DOMParser"
        r"|createContextualFragment|javascript:|https?://|document\.cookie|localStorage|import\("
    )
    scripts = {name: text for name, text in STATIC.items() if name.endswith((".js", ".css", ".html"))}
    assert len(scripts) >= 9
    assert not {name: forbidden.findall(text) for name, text in scripts.items() if forbidden.search(text)}


async def test_the_title_is_text(broker: MemoryBroker) -> None:
    """A title with markup in it is shown as it is written."""
    async with connect(operated(broker, title="</title><script>alert(1)</script>&")) as client:
        tags = [tag for tag, _ in Reader((await client.get("/")).text).tags]
    async with connect(operated(broker)) as client:
        assert tags == [tag for tag, _ in Reader((await client.get("/")).text).tags]


async def test_the_page_tells_nothing_by_itself(broker: MemoryBroker) -> None:
    """The document is the same for every question, known or not: what is asked comes from the API, with a token."""
    request = await put(broker, question(prompt="a secret plan"))
    async with connect(operated(broker)) as client:
        known, unknown, odd = [await client.get(f"/q/{one}") for one in (request.id, "0" * 32, "%3Cb%3E")]
    assert known.content == unknown.content == odd.content
    assert b"secret" not in known.content


async def test_half_a_character_is_sent_too(broker: MemoryBroker) -> None:
    """A prompt with a lone surrogate or any control character in it is listed like any other."""
    text = "".join(map(chr, range(32))) + "\ud800 \u202e\u2028\x7f\x9b"
    request = await put(broker, question("text", text))
    async with connect(operated(broker), headers=AUTHORISED) as client:
        shown = await client.get(f"/api/questions/{request.id}")
        listed = await client.get("/api/questions")
    assert shown.json()["prompt"] == text == listed.json()["questions"][0]["prompt"]
    assert shown.content.isascii()
