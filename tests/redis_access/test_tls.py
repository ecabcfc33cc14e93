"""Redis behind TLS: everything works by the URL alone, and what is wrong with certificates is said at once.

No server here speaks TLS itself, so a port in front of a real one does. The certificates hold for a hundred years, for
`localhost` and 127.0.0.1, and their keys are known to everybody.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from graflow_async import CheckpointError, StoreUnavailableError, UnsignedPayloadError
from graflow_async.codec.keys import ENV_NAME
from graflow_async.redis_errors import RedisAccessError
from graflow_async.stores.redis import RedisStore
from tests.redis_access import deeds
from tests.redis_access.servers import Server, Way

if TYPE_CHECKING:
    from collections.abc import Iterator

CERTIFICATES = Path(__file__).with_name("certificates")
CA, OTHER_CA, CLIENT = (CERTIFICATES / f"{name}.pem" for name in ("ca", "other", "client"))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A Redis of this module."""
    with Server() as server:
        yield server


def speaking(name: str = "server", *, asks: bool = False) -> ssl.SSLContext:
    """Give what a server needs to speak TLS under a certificate, and perhaps to ask for one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    if asks:
        context.load_verify_locations(CA)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_everything_over_tls(server: Server, monkeypatch: pytest.MonkeyPatch):
    """The driver, a worker and its heart, a store with a watch, a journal and questions work, with a certificate."""
    async with Way(server.port, speaking(asks=True)) as way:
        url = f"rediss://localhost:{way.port}/0?ssl_ca_certs={CA}&ssl_certfile={CLIENT}&ssl_keyfile={CLIENT}"
        monkeypatch.setenv("GRAFLOW_REDIS_URL", url)
        async with deeds.serving(url, "w1", options=("--lease", "1")):
            await deeds.everything(url)


@pytest.mark.parametrize(
    ("certificate", "ca", "words"),
    [("server", OTHER_CA, "unable to get local issuer"), ("elsewhere", CA, "not valid for '127.0.0.1'")],
    ids=["authority", "name"],
)
async def test_certificates_that_do_not_fit(
    server: Server, certificate: str, ca: Path, words: str, caplog: pytest.LogCaptureFixture
):
    """A wrong authority, or a certificate of another host, is named at every door at once: nothing is tried again."""
    async with Way(server.port, speaking(certificate)) as way:
        found = await deeds.refusals(f"rediss://:op3n-sesame@127.0.0.1:{way.port}/0?ssl_ca_certs={ca}")
    for door, error in found.items():
        assert isinstance(error, CheckpointError if door in ("record", "list_runs") else RedisAccessError), door
        assert words in str(error), door
        assert "ssl_ca_certs=PATH" in str(error), door
        assert "op3n-sesame" not in str(error), door
    assert "op3n-sesame" not in caplog.text


async def test_a_server_that_wants_a_certificate(server: Server):
    """It closes the connection, as one that dies would: that is waited for, and the error says what else it may be."""
    async with Way(server.port, speaking(asks=True)) as way:
        url = f"rediss://127.0.0.1:{way.port}/0?ssl_ca_certs={CA}"
        async with RedisStore(url, patience=2.0) as store:
            with pytest.raises(StoreUnavailableError, match="ssl_certfile=PATH"):
                await store.get("k")


async def test_a_file_that_is_no_authority(server: Server):
    """A file of another kind is named as what is wrong with TLS."""
    async with Way(server.port, speaking()) as way:
        with pytest.raises(RedisAccessError, match="TLS with Redis fails"):
            await deeds.store(f"rediss://127.0.0.1:{way.port}/0?ssl_ca_certs={Path(__file__)}")


def test_tls_signs_nothing(monkeypatch: pytest.MonkeyPatch):
    """Elsewhere a key is needed with TLS, too, and here none is."""
    monkeypatch.delenv(ENV_NAME)
    with pytest.raises(UnsignedPayloadError):
        RedisStore(f"rediss://redis.example.com/0?ssl_ca_certs={CA}")
    RedisStore(f"rediss://localhost/0?ssl_ca_certs={CA}")
