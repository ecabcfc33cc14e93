"""The application: puts the rules, the API and the pages together."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fastapi import FastAPI

from .._version import __version__
from ..broker import Broker
from ..errors import ConfigError
from ..inbox import Inbox
from . import changes, pages, questions
from .access import Access
from .gate import Gate
from .problems import HANDLED, answer_problem
from .site import Site
from .tokens import SecretKeys, as_keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@runtime_checkable
class HasInbox(Protocol):
    """Something that looks into a broker for people, such as a FeedbackManager."""

    @property
    def inbox(self) -> Inbox:
        """Its inbox."""
        ...


Source = Inbox | Broker | HasInbox


def create_app(
    source: Source,
    *,
    token: str | None = None,
    secret_keys: SecretKeys | None = None,
    allowed_hosts: Sequence[str] | None = None,
    trust_loopback: bool | None = None,
    title: str = "Inbox",
    docs: bool = False,
    body_timeout: float = 10.0,
    heartbeat: float = 15.0,
    now: Callable[[], float] = time,
) -> FastAPI:
    """Make the web inbox, to be served on its own or mounted in an application of yours: `app.mount("/inbox", ...)`.

    Without `token` and `secret_keys` it answers programs of this machine only, and no request that a proxy passed on.
    A server that ends while somebody looks at the inbox has to end the streams: `app.state.site.streams.close()`.

    Args:
        source: where the questions are: a broker, an Inbox or a FeedbackManager.
        token: of the operator, who may do everything: at least 32 bytes of random text.
        secret_keys: with these, tokens for single questions are taken as well (`question_token`).
        allowed_hosts: names that a request may be for, with a port or without; "*" for any. None: with a token any,
            else those of this machine. Also the public names that pages are loaded from, behind a proxy that changes
            the Host header.
        trust_loopback: whether programs of this machine may do everything without a token. None: if neither `token`
            nor `secret_keys` are given. Never set it where a proxy on the same machine serves others.
        title: what the page is called.
        docs: whether the description of the API is served, at `api/openapi.json`.
        body_timeout: seconds that a request's body may take to arrive.
        heartbeat: seconds of silence after which a stream of changes says that it is still there.
        now: gives the wall time, in seconds since the epoch.

    Raises:
        ConfigError: the token or a key is weak, or an argument makes no sense.
    """
    keyring = None if secret_keys is None else as_keyring(secret_keys)
    access = Access(token, keyring, trust_loopback=trust_loopback, allowed_hosts=allowed_hosts, now=now)
    app = FastAPI(
        title=title,
        version=__version__,
        description="Questions of workflows to people, and their answers.",
        openapi_url="/api/openapi.json" if docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.site = Site(inbox_of(source, now), access, now, body_timeout, heartbeat)
    for kind in HANDLED:
        app.add_exception_handler(kind, answer_problem)
    for router in (questions.router, questions.open_router, changes.router, pages.make_router(title)):
        app.include_router(router)
    app.add_middleware(Gate, access=access)
    return app


def inbox_of(source: Source, now: Callable[[], float] = time) -> Inbox:
    """Give the inbox of a broker or of whatever has one.

    Raises:
        ConfigError: it has none.
    """
    if isinstance(source, Inbox):
        return source
    if isinstance(source, Broker):
        return Inbox(source, now)
    if isinstance(source, HasInbox) and isinstance(source.inbox, Inbox):  # pyright: ignore[reportUnnecessaryIsInstance]
        return source.inbox
    raise ConfigError(f"questions are found in a broker, an Inbox or a FeedbackManager, not in {source!r}")
