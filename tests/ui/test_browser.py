"""The page in a real browser: every type of question answered by hand, and whatever may happen meanwhile."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.keys import Keys

from graflow_async.feedback import FeedbackState
from graflow_async.ui import question_token
from tests.ui import browser
from tests.ui.aids import KEY, OPERATOR, SCHEMA, question
from tests.ui.corpus import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graflow_async.feedback import FeedbackRequest
    from tests.ui.browser import Browser, Site

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not browser.is_there(), reason=browser.MISSING)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Give one browser for all tests."""
    started = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def site() -> Iterator[Site]:
    """Give an inbox that needs no token."""
    with browser.Site() as served:
        yield served


@pytest.fixture(autouse=True)
def plain_look(page: Browser) -> None:
    """Start each test with a window in the light theme."""
    page.look()


def choose(page: Browser, site: Site, request: FeedbackRequest) -> None:
    """Open the inbox and choose a question there by clicking on it."""
    page.open(site.url)
    page.click(f'a[href="#q={request.id}"]')
    page.one("#asked", request.prompt)


def answered(page: Browser, site: Site, request: FeedbackRequest, shown: str) -> Any:
    """Wait until the page shows the result, and give the answer that the broker has."""
    page.one(".result.answered .value", shown)
    assert page.one(".badge").text == "Answered"
    # The stream of changes may bring the result before the answer to the request does, which moves the focus.
    page.until(lambda: page.script("return document.activeElement.id") == "asked")
    record = site.record(request)
    assert record.state is FeedbackState.ANSWERED
    assert record.response is not None
    assert page.complaints() == []
    return record.response


@pytest.mark.parametrize(("button", "value", "shown"), [("Approve", True, "Approved"), ("Reject", False, "Rejected")])
def test_an_approval(page: Browser, site: Site, button: str, shown: str, *, value: bool) -> None:
    """Two buttons and a reason; the list is empty afterwards."""
    request = site.put(question(prompt="Deploy?"))
    choose(page, site, request)
    page.labelled("Reason").send_keys("All <b>tests</b> pass.")
    page.click("button", button)
    response = answered(page, site, request, shown)
    assert (response.value, response.reason) == (value, "All <b>tests</b> pass.")
    assert page.one(".result .reason").text == "All <b>tests</b> pass."
    page.one(".empty", "Nobody is waiting")


def test_a_text(page: Browser, site: Site) -> None:
    """A text of several lines arrives as it was typed; an empty one is not sent."""
    request = site.put(question("text", "What went wrong?"))
    choose(page, site, request)
    page.click("button", "Send answer")
    page.labelled("Your answer").send_keys('Rain.\n"Much" of it — ☔')
    assert site.record(request).state is FeedbackState.PENDING
    page.click("button", "Send answer")
    assert answered(page, site, request, "Rain.").value == 'Rain.\n"Much" of it — ☔'


def test_a_choice(page: Browser, site: Site) -> None:
    """One of several, by clicking on its words; without a choice nothing is sent."""
    request = site.put(question("selection", "Which one?"))
    choose(page, site, request)
    page.click("button", "Send answer")
    assert site.record(request).state is FeedbackState.PENDING
    page.click("label.choice", "green")
    page.click("button", "Send answer")
    assert answered(page, site, request, "green").value == "green"


@pytest.mark.parametrize("chosen", [["red", "blue"], []])
def test_several_choices(page: Browser, site: Site, chosen: list[str]) -> None:
    """Any number of them, none included."""
    request = site.put(question("multi_selection", "Which ones?"))
    choose(page, site, request)
    for one in chosen:
        page.click("label.choice", one)
    page.click("button", "Send answer")
    assert answered(page, site, request, "\n".join(chosen) or "None of them").value == chosen


def test_a_form(page: Browser, site: Site) -> None:
    """A flat schema becomes a form: a field for each property, required ones asked for, others left out."""
    request = site.put(question("custom", "Fill in the bill", schema=SCHEMA))
    choose(page, site, request)
    page.labelled("name").send_keys("Ann <i>Lee</i>")
    page.click("button", "Send answer")
    assert site.record(request).state is FeedbackState.PENDING
    page.labelled("amount").send_keys("12.50")
    page.labelled("count").clear()
    page.click("label.choice", "paid")
    page.labelled("currency").send_keys("USD")
    assert page.one(".hint", "As on the bill")
    page.click("button", "Send answer")
    wanted = {"name": "Ann <i>Lee</i>", "amount": 12.5, "paid": True, "currency": "USD"}
    assert answered(page, site, request, '"amount": 12.5').value == wanted


def test_a_model_with_references(page: Browser, site: Site) -> None:
    """What models of Python make of enums and optional fields is a form, too."""
    schema = {
        "type": "object",
        "$defs": {"Size": {"enum": ["small", "large"], "type": "string", "title": "Size"}},
        "properties": {
            "size": {"$ref": "#/$defs/Size"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "Note"},
        },
        "required": ["size"],
    }
    request = site.put(question("custom", "Which size?", schema=schema))
    choose(page, site, request)
    page.labelled("Size").send_keys("large")
    assert page.labelled("Note").get_attribute("type") == "text"
    page.click("button", "Send answer")
    assert answered(page, site, request, "large").value == {"size": "large"}


def test_other_schemas_are_answered_as_json(page: Browser, site: Site) -> None:
    """Anything else is JSON in a text area: checked before it is sent, kept when it does not fit, exact."""
    request = site.put(question("custom", "Numbers?", schema={"type": "array", "items": {"type": "integer"}}))
    choose(page, site, request)
    field = page.labelled("Your answer, as JSON")
    field.send_keys("[1,")
    page.click("button", "Send answer")
    assert "not JSON" in page.script("return arguments[0].validationMessage", field)
    field.clear()
    field.send_keys('["x"]')
    page.click("button", "Send answer")
    page.one(".error", "'x' is not of type 'integer'")
    assert field.get_attribute("value") == '["x"]'
    field.clear()
    field.send_keys("[12345678901234567890]")
    page.driver.get_log("browser")  # the refusal was logged
    page.click("button", "Send answer")
    assert answered(page, site, request, "[").value == [12345678901234567890]


def test_the_list_is_live_and_filtered(page: Browser, site: Site) -> None:
    """Questions come and go by themselves, the count is in the title, and the filter finds by any word."""
    first = site.put(question(prompt="Deploy the shop?"))
    page.open(site.url)
    page.one(".card", "Deploy the shop?")
    page.one(".connection", "Live")
    second = site.put(question("text", "Name the ship", assignee="kim"))
    page.one(".card", "Name the ship")
    assert page.until(lambda: page.driver.title == "(2) Inbox")
    page.labelled("Filter").send_keys("KIM")
    page.until(lambda: [one.text.split("\n")[0] for one in page.all(".card-prompt")] == ["Name the ship"])
    page.one(".count", "1 of 2 open")
    site.do(site.broker.settle(second.id, FeedbackState.CANCELLED, at=1.0))
    page.one(".empty", "Nothing fits this filter")
    page.labelled("Filter").clear()
    page.labelled("Filter").send_keys(" ")
    page.one(".card", first.prompt)


def test_what_others_do_is_shown_at_once(page: Browser, site: Site) -> None:
    """Answered or withdrawn by somebody else: the form goes, the outcome stands there, and what is next is offered."""
    request, other = question("text", "Who?"), question("text", "Next one")
    site.put(request, other)
    choose(page, site, request)
    page.labelled("Your answer").send_keys("half an ans")
    site.put(question("text", "Unrelated"))
    page.one(".card", "Unrelated")
    assert page.labelled("Your answer").get_attribute("value") == "half an ans"
    site.do(site.broker.settle(request.id, FeedbackState.CANCELLED, at=1.0, reason="never mind"))
    page.one(".result.cancelled", "never mind")
    assert page.all("form.answer") == []
    page.click(".forward a", "Next open question")
    page.one("#asked", "Next one")


def test_an_answer_that_comes_too_late_is_told(page: Browser, site: Site) -> None:
    """Who answers a question that was settled a moment ago is told so, and sees what was answered."""
    request = site.put(question(prompt="Deploy?"))
    choose(page, site, request)
    # The page does not hear of it: its stream ends, and no other one can be opened.
    page.script("const old = fetch; fetch = (url, more) => old(/events/.test(url) ? 'blob:' : url, more)")
    site.do(site.broker.aclose())
    page.one(".banner", "connection is lost")
    site.do(site.broker.settle(request.id, FeedbackState.CANCELLED, at=1.0))
    page.click("button", "Approve")
    page.one(".error", "too late: the question is cancelled already")
    page.one(".badge", "Cancelled")


def test_the_connection_comes_back(page: Browser) -> None:
    """A lost connection is shown, what was typed stays, and what happened meanwhile is there when it is back."""
    # A port that nobody else is given while neither site listens there.
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        comes_back(page, place.getsockname()[1])


def comes_back(page: Browser, port: int) -> None:
    """Serve an inbox at a port, end it while somebody writes, and serve it again."""
    with browser.Site(port=port) as first:
        request = first.put(question("text", "Who?"))
        choose(page, first, request)
        page.labelled("Your answer").send_keys("half an answer")
    page.one(".banner", "connection is lost")
    page.one(".connection", "Reconnecting")
    page.click("button", "Send answer")
    page.one(".error", "there is no connection")
    with browser.Site(first.broker, port=port) as second:
        second.put(question(prompt="New meanwhile"))
        page.until(lambda: page.all(".banner") == [] or page.all(".banner button")[0].click())
        page.one(".connection", "Live")
        page.one(".card", "New meanwhile")
        page.driver.get_log("browser")  # the refusals were logged
        page.click("button", "Send answer")
        assert answered(page, second, request, "half an answer").value == "half an answer"


def test_an_expired_question_takes_an_answer_for_later(page: Browser, site: Site) -> None:
    """After the deadline the page says that nobody waits, and keeps an answer all the same."""
    request = site.put(question(prompt="Deploy?"))
    choose(page, site, request)
    site.do(site.broker.settle(request.id, FeedbackState.EXPIRED, at=1.0))
    page.one(".result.expired", "The deadline has passed")
    page.click("button", "Approve")
    page.one(".result.expired .value", "Approved")
    page.one(".result.expired", "when it is resumed")
    record = site.record(request)
    assert (record.state, record.response is not None) == (FeedbackState.EXPIRED, True)


def test_a_question_is_cancelled_by_hand(page: Browser, site: Site) -> None:
    """The operator may withdraw a question, and say why."""
    request = site.put(question(prompt="Deploy?"))
    choose(page, site, request)
    page.click("summary", "Cancel this question")
    page.labelled("Why").send_keys("wrong branch")
    page.click("button", "Cancel the question")
    page.one(".result.cancelled", "wrong branch")
    assert site.record(request).reason == "wrong branch"


def test_a_changed_question_has_to_be_read_again(page: Browser, site: Site) -> None:
    """When a question is asked anew with other words, the page shows them and says so."""
    request = site.put(question(prompt="Deploy to staging?"))
    choose(page, site, request)
    site.do(site.broker.settle(request.id, FeedbackState.EXPIRED, at=1.0))
    changed = question(id=request.id, request_id=request.request_id, prompt="Deploy to production?")
    site.do(site.broker.ask(changed, again=True))
    page.one("#asked", "Deploy to production?")
    page.one(".error", "has changed")
    page.click("button", "Approve")
    assert answered(page, site, request, "Approved").value is True


def test_the_operator_signs_in(page: Browser) -> None:
    """A wrong token is refused, the right one opens the inbox, survives a reload, and is nowhere in the address."""
    with browser.Site(token=OPERATOR) as site:
        site.put(question(prompt="Deploy?"))
        page.open(site.url)
        for given, place, words in (("wrong", ".error", "refused"), (OPERATOR, ".card", "Deploy?")):
            page.one("h2", "A token is needed")
            page.labelled("Token").send_keys(given)
            page.click("button", "Open")
            page.one(place, words)
        page.driver.refresh()
        page.one(".card", "Deploy?")
        page.open(f"{site.url}#token={OPERATOR}&q={'0' * 32}")
        page.one(".empty", "There is no such question")
        assert page.driver.current_url == f"{site.url}#q={'0' * 32}"
        assert page.driver.get_cookies() == []


def test_a_link_opens_one_question(page: Browser) -> None:
    """A token in a link opens its question and no other, without the token staying in the address bar."""
    with browser.Site(token=OPERATOR, secret_keys=KEY) as site:
        request, other = question(prompt="Deploy?", assignee="kim"), question()
        site.put(request, other)
        page.open(f"{site.url}q/{request.id}#token={question_token(request, KEY)}")
        page.one("#asked", "Deploy?")
        assert page.driver.current_url == f"{site.url}q/{request.id}"
        assert page.all("summary")[-1].text == "Details"
        page.click("button", "Approve")
        assert answered(page, site, request, "Approved").responded_by == "kim"
        page.open(f"{site.url}q/{other.id}#token={question_token(request, KEY)}")
        page.one("[role=alert]", "this token is not for that")
        page.open(f"{site.url}q/{'0' * 32}#token={OPERATOR}")
        page.one("[role=alert]", "does not exist")


def hostile(text: str, kind: str) -> dict[str, Any]:
    """Give a question with a text at every place where one may stand."""
    schema = {
        "type": "object",
        "properties": {text: {"type": "string", "title": text, "description": text, "default": text}},
    }
    more: dict[str, Any] = {"selection": {"options": (text, "other")}, "custom": {"schema": schema}}.get(kind, {})
    return {"prompt": text, "metadata": {text: text}, "assignee": text, "workflow": text, "task_id": text, **more}


@pytest.mark.parametrize("kind", ["selection", "custom"])
def test_markup_is_shown_as_text(page: Browser, site: Site, kind: str) -> None:
    """Whatever stands in a question, the page has the same elements as for plain words, and runs nothing."""
    harmless = site.put(question(kind, **hostile("plain words", kind)))
    page.open(site.url)
    page.one(".card", "plain words")
    page.driver.get(f"{site.url}#q={harmless.id}")
    page.until(lambda: page.script(browser.ALONE, "plain words"))
    wanted = page.script(browser.SHAPE)
    assert "FORM" in wanted
    site.do(site.broker.settle(harmless.id, FeedbackState.CANCELLED, at=1.0))
    for text in TEXTS[:: 1 if kind == "selection" else 7]:
        request = site.put(question(kind, **hostile(text, kind)))
        page.driver.get(f"{site.url}#q={request.id}")
        page.until(lambda text=text: page.script(browser.ALONE, text.strip()))
        assert page.script(browser.SHAPE) == wanted, text
        site.do(site.broker.settle(request.id, FeedbackState.CANCELLED, at=1.0))
    assert page.until(lambda: page.driver.title == "Inbox")  # nothing is open any more
    assert page.script("return [window.owned, document.body.dataset.owned]") == [None, None]
    assert page.complaints() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone(page: Browser, site: Site, theme: str) -> None:
    """On a small screen nothing sticks out, what can be touched is large enough, and text is easy to read."""
    endless = "x" * 300
    kinds = ["approval", "text", "selection", "multi_selection", "custom"]
    requests = [question(kind, **hostile(endless, kind)) for kind in kinds]
    requests.append(question("custom", endless, schema={"type": "array", "title": endless}))
    site.put(*requests)
    page.look(theme, browser.PHONE)
    page.open(site.url)
    page.one(".card", endless)
    assert page.script(browser.WIDE) == []
    for request in requests:
        page.driver.get(f"{site.url}#q={request.id}")
        page.one("#asked", endless)
        assert page.script(browser.WIDE) == []
        assert json.loads(page.script(browser.SMALL)) == []
        assert json.loads(page.script(browser.FAINT)) == []
        assert json.loads(page.script(browser.NAMELESS)) == []
    page.click(".back")
    page.one(".card", endless)


def test_the_keyboard_is_enough(page: Browser, site: Site) -> None:
    """From the filter to the answer and on to the next question with Tab and Enter alone."""
    first, second = question(prompt="First?"), question(prompt="Second?")
    site.put(first, second)
    page.open(site.url)
    page.one(".card", "Second?")
    page.labelled("Filter").send_keys(Keys.TAB)
    page.press(Keys.ENTER)
    page.one("#asked", "First?")
    page.until(lambda: page.script("return document.activeElement.id") == "asked")
    page.press(Keys.TAB)
    page.press("ok", Keys.TAB, Keys.ENTER)
    response = answered(page, site, first, "Approved")
    assert (response.value, response.reason) == (True, "ok")
    page.until(lambda: page.press(Keys.TAB) or page.script("return document.activeElement.hash") == f"#q={second.id}")
    page.press(Keys.ENTER)
    page.one("#asked", "Second?")
