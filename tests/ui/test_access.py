"""Who may do what: every kind of token at every route, the hosts, the origins, and the machine's own programs."""

from __future__ import annotations

from typing import Any

import pytest

from graflow_async.brokers.memory import MemoryBroker
from graflow_async.errors import ConfigError
from graflow_async.feedback import FeedbackRequest, FeedbackState
from graflow_async.ui import create_app, question_token
from tests.ui.aids import AUTHORISED, KEY, NOW, OPERATOR, connect, contents, operated, put, question

ROUTES = {
    "list": ("GET", "/api/questions", None),
    "show": ("GET", "/api/questions/{id}", None),
    "answer": ("POST", "/api/questions/{id}/answer", {"approved": True}),
    "cancel": ("POST", "/api/questions/{id}/cancel", {}),
    "send": ("POST", "/api/runs/run-1/events/paid", {}),
    "follow": ("GET", "/api/events", None),
    "follow one": ("GET", "/api/events?question_id={id}", None),
}
WRONG = {
    "none": None,
    "empty": "Bearer ",
    "another": f"Bearer {OPERATOR[:-1]}x",
    "a part": f"Bearer {OPERATOR[:-1]}",
    "more": f"Bearer {OPERATOR}x",
    "not ASCII": "Bearer \xff\xfe",
    "another scheme": f"Basic {OPERATOR}",
    "no scheme": OPERATOR,
    "endless": "Bearer " + "A" * 30_000,
}


def bearer(request: FeedbackRequest, **options: Any) -> dict[str, str]:
    """Give the header of a token for a question."""
    return {"Authorization": f"Bearer {question_token(request, KEY, **{'now': NOW, **options})}"}


async def call(broker: MemoryBroker, route: str, question_id: str, headers: dict[str, str], **options: Any) -> int:
    """Call a route and give the status."""
    method, path, body = ROUTES[route]
    async with connect(operated(broker, **options)) as client:
        reply = await client.request(method, path.format(id=question_id), json=body, headers=headers)
    assert reply.status_code < 400 or set(reply.json()) >= {"error", "detail"}
    assert reply.status_code != 401 or reply.headers["WWW-Authenticate"] == "Bearer"
    return reply.status_code


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("wrong", WRONG)
async def test_without_the_right_token_nothing_is_told_or_done(broker: MemoryBroker, route: str, wrong: str) -> None:
    """Every route but health answers 401 to no token and to a wrong one, and changes nothing."""
    request = await put(broker, question())
    before = await contents(broker, "run-1")
    given = WRONG[wrong]
    headers = {} if given is None else {"Authorization": given}
    raw: Any = {name: value.encode("latin-1") for name, value in headers.items()}
    assert await call(broker, route, request.id, raw) == 401
    assert await call(broker, route, "0" * 32, raw) == 401
    assert await contents(broker, "run-1") == before


@pytest.mark.parametrize(
    ("route", "actions", "status"),
    [
        ("show", ("answer",), 200), ("show", ("cancel",), 200), ("answer", ("answer",), 200),
        ("answer", ("cancel",), 403), ("cancel", ("answer",), 403), ("cancel", ("cancel",), 200),
        ("answer", ("answer", "cancel"), 200), ("cancel", ("answer", "cancel"), 200),
        ("list", ("answer", "cancel"), 403), ("send", ("answer", "cancel"), 403), ("follow", ("answer",), 403),
    ],
)  # fmt: skip
async def test_a_token_of_a_question_allows_what_it_says(
    broker: MemoryBroker, route: str, actions: tuple[str, ...], status: int
) -> None:
    """Its question may be looked at, its actions may be taken, and nothing else."""
    request = await put(broker, question())
    assert await call(broker, route, request.id, bearer(request, actions=actions)) == status
    record = await broker.get(request.id)
    assert record is not None
    assert (record.state is FeedbackState.PENDING) is (status != 200 or route == "show")


@pytest.mark.parametrize("route", ["show", "answer", "cancel", "follow one"])
async def test_other_questions_and_unknown_ones_look_alike(broker: MemoryBroker, route: str) -> None:
    """A token for one question says nothing about any other: not even whether there is one."""
    mine, other = question(), question()
    await put(broker, mine, other)
    headers = bearer(mine, actions=("answer", "cancel"))
    method, path, body = ROUTES[route]
    paths = [path.format(id=question_id) for question_id in (other.id, "0" * 32)]
    async with connect(operated(broker)) as client:
        replies = [await client.request(method, one, json=body, headers=headers) for one in paths]
    assert [reply.status_code for reply in replies] == [403, 403]
    assert replies[0].content == replies[1].content
    record = await broker.get(other.id)
    assert record is not None
    assert record.state is FeedbackState.PENDING


@pytest.mark.parametrize("route", ["show", "answer", "cancel", "follow one"])
async def test_a_token_ends_with_its_time_and_its_question(broker: MemoryBroker, route: str) -> None:
    """Expired: 401. For an earlier wording of the question: 409. For a question that is forgotten: 404."""
    request = question()
    changed = question(id=request.id, prompt="Shall we really?")
    await put(broker, changed)
    both = ("answer", "cancel")
    before = await contents(broker)
    assert await call(broker, route, request.id, bearer(request, actions=both, expires_in=60, now=NOW - 60)) == 401
    assert await call(broker, route, request.id, bearer(request, actions=both)) == 409
    assert await contents(broker) == before
    await broker.forget("run-1")
    assert await call(broker, route, request.id, bearer(changed, actions=both)) == 404


async def test_a_token_is_used_up_by_the_answer_only(broker: MemoryBroker) -> None:
    """Failures leave a token good; after the answer it is refused with 409, and still shows what became of it."""
    request = await put(broker, question(assignee="dana"))
    headers = bearer(request)
    path = f"/api/questions/{request.id}"
    async with connect(operated(broker), headers=headers) as client:
        assert (await client.post(f"{path}/answer", json={"approved": "maybe"})).status_code == 422
        broken = await client.post(f"{path}/answer", content=b"{", headers={"Content-Type": "application/json"})
        assert broken.status_code == 400
        assert (await client.post(f"{path}/answer", json={"approved": True})).status_code == 200
        assert (await client.post(f"{path}/answer", json={"approved": False})).status_code == 409
        shown = (await client.get(path)).json()
    assert (shown["state"], shown["response"]["responded_by"]) == ("answered", "dana")


async def test_tokens_of_an_old_key_are_taken_until_it_goes(broker: MemoryBroker) -> None:
    """Keys are rotated without a link breaking."""
    request = await put(broker, question())
    newer = "signing-P4mBz7-qC1wEr5Ty8Ui2Op6As9Df3Gh"
    assert await call(broker, "show", request.id, bearer(request), secret_keys=[newer, KEY]) == 200
    assert await call(broker, "show", request.id, bearer(request), secret_keys=[newer]) == 401


async def test_programs_of_this_machine_need_no_token(broker: MemoryBroker) -> None:
    """Where nothing is set, this machine is trusted; a presented token still has to be right, and is none here."""
    request = await put(broker, question())
    async with connect(create_app(broker)) as client:
        assert (await client.get("/api/questions")).status_code == 200
        assert (await client.get("/api/questions", headers=AUTHORISED)).status_code == 401
        assert (await client.post(f"/api/questions/{request.id}/answer", json={"approved": True})).status_code == 200
    record = await broker.get(request.id)
    assert record is not None
    assert record.response is not None
    assert record.response.responded_by is None


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        (("127.0.0.1", 1), {}, 200), (("127.9.9.9", 1), {}, 200), (("::1", 1), {}, 200),
        (("10.0.0.5", 1), {}, 401), (("203.0.113.9", 1), {}, 401),
        (("localhost.evil.example", 1), {}, 401), (None, {}, 401),
        (("127.0.0.1", 1), {"X-Forwarded-For": "203.0.113.9"}, 401),
        (("127.0.0.1", 1), {"Forwarded": "for=1.2.3.4"}, 401),
        (("127.0.0.1", 1), {"X-Real-IP": "127.0.0.1"}, 401), (("127.0.0.1", 1), {"Via": "1.1 proxy"}, 401),
    ],
)  # fmt: skip
async def test_nobody_else_is_taken_for_this_machine(
    broker: MemoryBroker, peer: tuple[str, int] | None, headers: dict[str, str], status: int
) -> None:
    """Other machines, and whatever a proxy passes on, need a token, which there is none of."""
    async with connect(create_app(broker), client=peer) as client:
        assert (await client.get("/api/questions", headers=headers)).status_code == status


async def test_with_a_token_this_machine_needs_it_too(broker: MemoryBroker) -> None:
    """A token that is set is asked of everybody, and so are tokens of questions where only keys are set."""
    for app in (create_app(broker, token=OPERATOR), create_app(broker, secret_keys=KEY)):
        async with connect(app) as client:
            assert (await client.get("/api/questions")).status_code == 401


HOSTS = [
    ("localhost", 200), ("localhost:8080", 200), ("LOCALHOST", 200), ("127.0.0.1:80", 200), ("[::1]:8080", 200),
    ("evil.example", 421), ("localhost.evil.example", 421), ("127.0.0.1.nip.io", 421), ("localhost.", 421),
    ("10.0.0.1", 421), ("[::2]", 421), ("0.0.0.0", 421),  # noqa: S104  # a name to refuse
    ("2130706433", 421),
    ("", 400), ("local host", 400), ("localhost:", 400), ("localhost:x", 400), ("localhost:999999", 400),
    ("a@localhost", 400),
    ("localhost/x", 400), ("localhost,evil", 400), ("[localhost]", 400), ("\xff", 400), ("h" * 300, 400),
    ("<script>", 400),
]  # fmt: skip


@pytest.mark.parametrize(("host", "status"), HOSTS)
@pytest.mark.parametrize("path", ["/", "/api/health", "/api/questions", "/static/app.js"])
async def test_only_known_hosts_are_served(broker: MemoryBroker, host: str, status: int, path: str) -> None:
    """A name that was made to point here gets nothing, neither the page nor the API."""
    async with connect(create_app(broker)) as client:
        reply = await client.get(path, headers=[(b"Host", host.encode("latin-1"))])  # pyright: ignore[reportArgumentType]
    assert reply.status_code == status
    assert status == 200 or set(reply.json()) == {"error", "detail"}


async def test_hosts_are_named_for_public_servers(broker: MemoryBroker) -> None:
    """With a token any host is served unless some are named; two Host headers never are."""
    named = operated(broker, allowed_hosts=["inbox.example.com", "10.1.2.3:8080"])
    wanted = {
        "inbox.example.com": 200,
        "INBOX.example.com:444": 200,
        "10.1.2.3:8080": 200,
        "10.1.2.3": 421,
        "localhost": 421,
    }
    async with connect(named) as client:
        for host, status in wanted.items():
            assert (await client.get("/", headers={"Host": host})).status_code == status, host
    async with connect(operated(broker)) as client:
        assert (await client.get("/", headers={"Host": "anything.example"})).status_code == 200
        twice: Any = [("Host", "localhost"), ("Host", "localhost")]
        assert (await client.get("/", headers=twice)).status_code == 400


ORIGINS: list[tuple[dict[str, str], bool]] = [
    ({}, True), ({"Origin": "http://localhost"}, True), ({"Origin": "http://localhost:80"}, True),
    ({"Origin": "https://localhost"}, True), ({"Origin": "http://LOCALHOST"}, True),
    ({"Sec-Fetch-Site": "same-origin"}, True), ({"Sec-Fetch-Site": "none"}, True),
    ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, True),
    ({"Origin": "http://evil.example"}, False), ({"Origin": "http://localhost:3000"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "http://127.0.0.1"}, False), ({"Origin": "http://localhost.evil.example"}, False),
    ({"Origin": ""}, False),
    ({"Origin": "http://localhost@evil.example"}, False), ({"Origin": "file://"}, False),
    ({"Origin": "chrome://localhost"}, False),
    ({"Origin": "http://localhost/"}, False), ({"Origin": "http://localhost http://evil.example"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False), ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "odd"}, False),
    ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, False),
    ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "is_ours"), ORIGINS)
@pytest.mark.parametrize("route", ["show", "answer", "cancel", "send"])
async def test_pages_of_other_sites_can_do_nothing(
    broker: MemoryBroker, headers: dict[str, str], *, is_ours: bool, route: str
) -> None:
    """Whatever another site's page makes a browser send is refused with 403 and changes nothing."""
    request = await put(broker, question())
    before = await contents(broker, "run-1")
    method, path, body = ROUTES[route]
    async with connect(create_app(broker, now=lambda: NOW)) as client:
        reply = await client.request(method, path.format(id=request.id), json=body, headers=headers)
    assert reply.status_code == ((204 if route == "send" else 200) if is_ours else 403)
    assert ((await contents(broker, "run-1")) == before) is (not is_ours or route == "show")


async def test_the_public_name_is_an_origin_behind_a_proxy(broker: MemoryBroker) -> None:
    """Where a proxy changes the Host, naming the public host lets its pages in, and no other."""
    request = await put(broker, question())
    app = operated(broker, allowed_hosts=["127.0.0.1:8080", "inbox.example.com"])
    path = f"/api/questions/{request.id}"
    async with connect(app, headers={**AUTHORISED, "Host": "127.0.0.1:8080"}) as client:
        assert (await client.get(path, headers={"Origin": "https://inbox.example.com"})).status_code == 200
        assert (await client.get(path, headers={"Origin": "https://inbox.example.com:8443"})).status_code == 403
        assert (await client.get(path, headers={"Origin": "https://evil.example"})).status_code == 403


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 40, "ab" * 30, "changeme" * 5, "secret token " * 5, "tökens" * 10]
)
def test_weak_tokens_are_refused(broker: MemoryBroker, token: str) -> None:
    """A token that can be guessed, or cannot be sent, is refused when the application is made, and not shown."""
    with pytest.raises(ConfigError, match="token") as caught:
        create_app(broker, token=token)
    assert not token or token not in str(caught.value)


def test_mistaken_options_are_refused(broker: MemoryBroker) -> None:
    """Options that would open the door, or make no sense, are refused when the application is made."""
    for options in ({"allowed_hosts": ["*"]}, {"allowed_hosts": "localhost"}, {"allowed_hosts": ["http://localhost"]}):
        with pytest.raises(ConfigError):
            create_app(broker, **options)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError):
        create_app(broker, secret_keys="changeme")  # noqa: S106  # one to refuse
