"""The JSON API: listing, showing, answering and cancelling questions, and events for runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI

from graflow_async import FeedbackManager
from graflow_async.brokers.memory import MemoryBroker
from graflow_async.feedback import FeedbackState
from graflow_async.inbox import Inbox
from tests.ui.aids import AUTHORISED, NOW, SCHEMA, connect, operated, put, question

BILL = {"name": "A", "amount": 1.5, "currency": "EUR"}
ANSWERS: list[tuple[str, dict[str, Any], Any]] = [
    ("approval", {"approved": True}, True),
    ("approval", {"approved": False, "reason": "too early"}, False),
    ("approval", {"value": True}, True),
    ("text", {"text": "It rained."}, "It rained."),
    ("text", {"text": ""}, ""),
    ("selection", {"selected": "green"}, "green"),
    ("multi_selection", {"selected": ["blue", "red"]}, ["blue", "red"]),
    ("multi_selection", {"selected": []}, []),
    ("custom", {"value": BILL}, BILL),
]  # fmt: skip
UNFIT: list[tuple[str, Any]] = [
    ("approval", {}), ("approval", {"approved": None}), ("approval", {"approved": "yes"}),
    ("approval", {"approved": 1}),
    ("approval", {"text": "yes"}), ("approval", {"approved": True, "value": True}), ("approval", {"value": "true"}),
    ("text", {"text": 5}), ("text", {"value": ["a"]}), ("text", {"selected": "a"}),
    ("selection", {"selected": "pink"}), ("selection", {"selected": ["red"]}), ("selection", {"value": {"a": 1}}),
    ("selection", {"selected": ""}), ("selection", {"selected": None}),
    ("multi_selection", {"selected": "red"}), ("multi_selection", {"selected": ["red", "red"]}),
    ("multi_selection", {"selected": ["red", "pink"]}), ("multi_selection", {"value": [["red"]]}),
    ("custom", {}), ("custom", {"text": None}), ("custom", {"value": None}), ("custom", {"value": {"name": 1}}),
    ("custom", {"value": {"name": "A", "amount": -1, "currency": "EUR"}}),
    ("custom", {"value": {"name": "A", "amount": 1, "currency": "EUR", "extra": 1}}),
    ("approval", {"approved": True, "responded_by": "the boss"}), ("approval", {"approved": True, "state": "expired"}),
    ("approval", {"approved": True, "reason": 1}), ("approval", {"approved": True, "revision": 1}),
    ("approval", {"approved": True, "reason": "x" * 4001}), ("approval", []), ("approval", "true"), ("approval", 0),
]  # fmt: skip


def ask(kind: str) -> Any:
    """Make a question of a kind, a custom one with a schema."""
    return question(kind, schema=SCHEMA) if kind == "custom" else question(kind)


@pytest.mark.parametrize(("kind", "body", "value"), ANSWERS)
async def test_each_type_is_answered(broker: MemoryBroker, kind: str, body: dict[str, Any], value: Any) -> None:
    """An answer that fits settles the question, with its value, its reason and who gave it."""
    request = await put(broker, ask(kind))
    async with connect(operated(broker), headers=AUTHORISED) as client:
        answered = await client.post(f"/api/questions/{request.id}/answer", json=body)
        shown = await client.get(f"/api/questions/{request.id}")
    assert answered.status_code == 200
    assert answered.json() == shown.json()
    assert answered.json()["state"] == "answered"
    response = answered.json()["response"]
    assert (response["value"], response["reason"], response["responded_by"]) == (value, body.get("reason"), "operator")
    record = await broker.get(request.id)
    assert record is not None
    assert record.response is not None
    assert record.response.value == value
    assert record.response.responded_at == NOW


@pytest.mark.parametrize(("kind", "body"), UNFIT)
async def test_an_unfit_answer_leaves_the_question_open(broker: MemoryBroker, kind: str, body: Any) -> None:
    """What does not fit is refused with 422, and the right answer is still welcome."""
    request = await put(broker, ask(kind))
    async with connect(operated(broker), headers=AUTHORISED) as client:
        refused = await client.post(f"/api/questions/{request.id}/answer", json=body)
    assert refused.status_code == 422, refused.text
    assert set(refused.json()) == {"error", "detail"}
    record = await broker.get(request.id)
    assert record is not None
    assert record.state is FeedbackState.PENDING


async def test_the_first_answer_counts(broker: MemoryBroker) -> None:
    """Of many answers at once exactly one is accepted; the others hear what became of the question, and when."""
    request = await put(broker, question("text"))
    async with connect(operated(broker), headers=AUTHORISED) as client:
        path = f"/api/questions/{request.id}/answer"
        replies = await asyncio.gather(*(client.post(path, json={"text": str(number)}) for number in range(20)))
    assert sorted(reply.status_code for reply in replies) == [200] + [409] * 19
    refused = next(reply.json() for reply in replies if reply.status_code == 409)
    assert (refused["error"], refused["state"], refused["at"]) == ("already_settled", "answered", NOW)


async def test_an_answer_to_another_wording_is_refused(broker: MemoryBroker) -> None:
    """Who approves, approves the text that they saw."""
    request = await put(broker, question())
    path = f"/api/questions/{request.id}/answer"
    async with connect(operated(broker), headers=AUTHORISED) as client:
        stale = await client.post(path, json={"approved": True, "revision": "0" * 16})
        assert (stale.status_code, stale.json()["error"], stale.json()["state"]) == (409, "stale", "pending")
        fresh = await client.post(path, json={"approved": True, "revision": request.revision})
        assert fresh.status_code == 200


async def test_a_late_answer_is_kept(broker: MemoryBroker) -> None:
    """After the deadline one answer is kept for the run to find; the question stays expired."""
    request = await put(broker, question())
    await broker.settle(request.id, FeedbackState.EXPIRED, at=NOW)
    async with connect(operated(broker), headers=AUTHORISED) as client:
        late = await client.post(f"/api/questions/{request.id}/answer", json={"approved": True})
        later = await client.post(f"/api/questions/{request.id}/answer", json={"approved": False})
    assert (late.status_code, late.json()["state"], late.json()["response"]["value"]) == (200, "expired", True)
    assert later.status_code == 409


async def test_a_question_is_cancelled_once(broker: MemoryBroker) -> None:
    """A cancelled question says why, takes no answer, and an answered one cannot be cancelled."""
    request, other = question(), question()
    await put(broker, request, other)
    async with connect(operated(broker), headers=AUTHORISED) as client:
        done = await client.post(f"/api/questions/{request.id}/cancel", json={"reason": "obsolete"})
        assert (done.status_code, done.json()["state"], done.json()["reason"]) == (200, "cancelled", "obsolete")
        refused = await client.post(f"/api/questions/{request.id}/answer", json={"approved": True})
        assert (refused.status_code, refused.json()["state"]) == (409, "cancelled")
        await client.post(f"/api/questions/{other.id}/answer", json={"approved": True})
        refused = await client.post(f"/api/questions/{other.id}/cancel", json={})
        assert (refused.status_code, refused.json()["state"]) == (409, "answered")


async def test_an_event_reaches_the_run(broker: MemoryBroker) -> None:
    """A posted event waits in the run's box, whether the run has started or not."""
    async with connect(operated(broker), headers=AUTHORISED) as client:
        sent = await client.post("/api/runs/run-7/events/paid", json={"payload": {"amount": 5}})
        odd = await client.post("/api/runs/run-7/events/a%0Ab", json={})
        long = await client.post(f"/api/runs/{'r' * 201}/events/paid", json={})
    assert (sent.status_code, sent.content) == (204, b"")
    assert (odd.status_code, long.status_code) == (422, 422)
    letters = await broker.letters("run-7")
    assert [(letter.kind, letter.name, letter.payload) for letter in letters] == [("event", "paid", {"amount": 5})]


async def test_the_list_is_filtered(broker: MemoryBroker) -> None:
    """By run, name, state and assignee; without filters all that is open, the oldest first."""
    mine, other = question(assignee="kim", run_id="run-a"), question(run_id="run-b")
    settled = question(run_id="run-b")
    await put(broker, other, mine, settled)
    await broker.settle(settled.id, FeedbackState.CANCELLED, at=NOW)
    wanted = {
        "": [mine, other], "?assignee=kim": [mine], "?assignee=nobody": [], "?run_id=run-b": [other],
        "?run_id=run-b&state=all": [other, settled], "?state=cancelled": [settled], "?state=answered": [],
        f"?request_id={settled.request_id}&state=all": [settled], "?run_id=%00": [], "?run_id=..%2F..%2Fetc": [],
    }  # fmt: skip
    async with connect(operated(broker), headers=AUTHORISED) as client:
        for query, found in wanted.items():
            page = (await client.get(f"/api/questions{query}")).json()
            assert [one["id"] for one in page["questions"]] == [one.id for one in found], query
            assert (page["total"], page["next"]) == (len(found), None)


async def test_the_list_is_paged(broker: MemoryBroker) -> None:
    """Parts follow each other without gaps or doubles, even when questions are settled in between."""
    requests = [question() for _ in range(25)]
    await put(broker, *reversed(requests))
    found: list[str] = []
    after = None
    async with connect(operated(broker), headers=AUTHORISED) as client:
        for _ in range(5):
            params = {"limit": 10} | ({"after": after} if after else {})
            page = (await client.get("/api/questions", params=params)).json()
            found += [one["id"] for one in page["questions"]]
            after = page["next"]
            if after is None:
                break
            await broker.settle(found[-1], FeedbackState.CANCELLED, at=NOW)
    assert found == [one.id for one in requests]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=1e3", "state=open", "state=", "run_id=", "after=1", "after=1.0~zz",
     "run_id=" + "x" * 201, "limit=1&limit=1", "asignee=kim", "assignee=a&limit=2&assignee=b"],
)  # fmt: skip
async def test_bad_parameters_are_named(broker: MemoryBroker, query: str) -> None:
    """A parameter that makes no sense is refused with its name."""
    async with connect(operated(broker), headers=AUTHORISED) as client:
        refused = await client.get(f"/api/questions?{query}")
    assert refused.status_code == 422
    assert query.split("=", 1)[0] in refused.json()["detail"]


async def test_it_is_mounted_below_another_application(broker: MemoryBroker) -> None:
    """In an application of the user's it works below any path, pages and API alike."""
    request = await put(broker, question())
    outer = FastAPI()
    outer.mount("/tools/inbox", operated(broker, docs=True))
    async with connect(outer, headers=AUTHORISED) as client:
        assert (await client.get("/tools/inbox/")).status_code == 200
        assert (await client.get("/tools/inbox/static/app.js")).status_code == 200
        assert (await client.get("/tools/inbox/api/openapi.json")).status_code == 200
        answered = await client.post(f"/tools/inbox/api/questions/{request.id}/answer", json={"approved": True})
        foreign = await client.get("/tools/inbox/api/questions", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answered.status_code, foreign.status_code) == (200, 403)


async def test_it_looks_into_whatever_has_questions(broker: MemoryBroker) -> None:
    """A broker, an Inbox or a FeedbackManager will do; anything else is refused when the application is made."""
    await put(broker, question())
    for source in (broker, Inbox(broker), FeedbackManager(broker)):
        async with connect(operated(source), headers=AUTHORISED) as client:
            assert (await client.get("/api/questions")).json()["total"] == 1
    with pytest.raises(ValueError, match="broker, an Inbox or a FeedbackManager"):
        operated("memory")


async def test_health_and_description(broker: MemoryBroker) -> None:
    """Health needs no token and tells nothing; the description is served when asked for only."""
    async with connect(operated(broker)) as client:
        assert (await client.get("/api/health")).json() == {"status": "ok"}
        for path in ("/api/openapi.json", "/openapi.json", "/docs", "/redoc"):
            assert (await client.get(path)).status_code == 404
    async with connect(operated(broker, docs=True)) as client:
        described = (await client.get("/api/openapi.json")).json()
    assert set(described["paths"]) == {
        "/api/questions", "/api/questions/{question_id}", "/api/questions/{question_id}/answer",
        "/api/questions/{question_id}/cancel", "/api/runs/{run_id}/events/{name}", "/api/events", "/api/health",
    }  # fmt: skip
