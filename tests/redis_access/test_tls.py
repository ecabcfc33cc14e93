"""Redis behind TLS: everything works by the URL alone, and what is wrong with certificates is said at once.

No server here speaks TLS itself, so a port in front of a real one does.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import RedisError

from graflow_async import CheckpointError, StoreUnavailableError, UnsignedPayloadError
from graflow_async._redis.client import connect, passes
from graflow_async.codec.keys import ENV_NAME
from graflow_async.redis_errors import RedisAccessError
from graflow_async.stores.redis import RedisStore
from tests.redis_access import deeds
from tests.redis_access.servers import CA, CLIENT, OTHER_CA, Server, Way, closed_to_strangers, pass_on, speaking

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A Redis of this module."""
    with Server() as server:
        yield server


async def test_everything_over_tls(server: Server, monkeypatch: pytest.MonkeyPatch):
    """The driver, a worker and its heart, a store with a watch, a journal and questions work, with a certificate."""
    async with Way(server.port, speaking(asks=True)) as way:
        url = f"rediss://localhost:{way.port}/0?ssl_ca_certs={CA}&ssl_certfile={CLIENT}&ssl_keyfile={CLIENT}"
        monkeypatch.setenv("GRAFLOW_REDIS_URL", url)
        async with deeds.serving(url, "w1"):
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


async def test_a_server_that_wants_a_certificate():
    """It says so after TLS is agreed on, as OpenSSL has it: that is told at every door at once."""
    with closed_to_strangers(speaking(asks=True)) as port:
        found = await deeds.refusals(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={CA}")
    for door, error in found.items():
        assert isinstance(error, CheckpointError if door in ("record", "list_runs") else RedisAccessError), door
        assert "does not accept our certificate (TLSV13_ALERT_CERTIFICATE_REQUIRED" in str(error), door
        assert "ssl_certfile=PATH" in str(error), door


async def test_a_server_that_wants_a_certificate_and_does_not_say_so(server: Server):
    """It closes the connection, as one that dies would: that is waited for, and the error says what else it may be."""
    async with Way(server.port, speaking(asks=True)) as way:
        url = f"rediss://127.0.0.1:{way.port}/0?ssl_ca_certs={CA}"
        async with RedisStore(url, patience=2.0) as store:
            with pytest.raises(StoreUnavailableError, match="ssl_certfile=PATH"):
                await store.get("k")


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_a_server_that_dies_on_the_way(server: Server, *, is_reset: bool):
    """Wherever in the handshake the connection ends, that is no refusal: it is tried again."""
    let_through = 0

    async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", way.port)
        passing = asyncio.ensure_future(pass_on(reader, there[1]))
        if let_through:
            writer.write(await there[0].readexactly(let_through))
        if is_reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
        there[1].close()
        await passing

    async with (
        Way(server.port, speaking()) as way,
        await asyncio.start_server(breaks_off, "127.0.0.1", 0) as breaking,
    ):
        port = breaking.sockets[0].getsockname()[1]
        for let_through in range(0, 800, 50):
            client = connect(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={CA}")
            with pytest.raises((RedisError, OSError)) as caught:
                await client.execute_command("PING")
            assert passes(caught.value), (let_through, caught.value)
            await client.aclose()


@pytest.mark.parametrize("reason", ["TLSV1_ALERT_INTERNAL_ERROR", "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"])
def test_a_server_in_trouble_is_no_refusal(reason: str):
    """What a server says of itself, or is cut off in saying, is tried again; what it says of our certificate is not."""

    def met(reason: str) -> BrokenConnection:
        fault = ssl.SSLError(1, reason)
        fault.reason = reason
        error = BrokenConnection("while reading")
        error.__cause__ = fault
        return error

    assert passes(met(reason))
    assert not passes(met("TLSV13_ALERT_CERTIFICATE_REQUIRED"))


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
