"""What may be unpickled out of Redis: signed bytes if there is a key, and without one only what nobody else can write.

Loading a pickle runs code, so whoever can write into an unprotected Redis could run code here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .. import codec
from ..codec.keys import ENV_NAME
from ..errors import NotSerializableError, UnsignedPayloadError
from .client import is_local

if TYPE_CHECKING:
    from redis.asyncio import Redis


LARGEST = (512 << 20) - (1 << 16)  # bytes; Redis closes the connection of who sends more at once, each time anew


class Payloads:
    """Values as bytes for one purpose, signed if there is a key."""

    __slots__ = ("_keyring", "purpose")

    def __init__(self, keyring: codec.Keyring | None, purpose: str) -> None:
        """Sign for `purpose` with `keyring`; without one nothing is signed."""
        self._keyring = keyring
        self.purpose = purpose

    def dumps(self, value: Any, what: str, *, check: bool = False) -> bytes:
        """Pickle a value, and sign it; `what` names it in an error, with `check` it is loaded again at once.

        Raises:
            NotSerializableError: it cannot be pickled, or is too large.
        """
        return self.seal(codec.dumps(value, what, check=check))

    def loads(self, data: bytes) -> Any:
        """Give the value of bytes whose signature fits.

        Raises:
            SecurityError: it does not.
            NotSerializableError: it cannot be loaded here.
        """
        return codec.loads(self.unseal(data))

    def seal(self, payload: bytes) -> bytes:
        """Sign bytes.

        Raises:
            NotSerializableError: they are more than Redis takes.
        """
        if len(payload) > LARGEST:
            raise NotSerializableError(
                f"{len(payload)} bytes for {self.purpose!r} are more than the {LARGEST} that Redis takes at once; keep "
                "large data elsewhere and pass a reference to it"
            )
        return payload if self._keyring is None else codec.seal(payload, self.purpose, self._keyring)

    def unseal(self, data: bytes) -> bytes:
        """Give signed bytes back.

        Raises:
            SecurityError: the signature does not fit.
        """
        return data if self._keyring is None else codec.unseal(data, self.purpose, self._keyring)

    def bound_to(self, place: str) -> Payloads:
        """Sign for the same purpose in one place only (a run, a key): what was written there is refused elsewhere."""
        return Payloads(self._keyring, f"{self.purpose}:{place}")


def keyring_for(client: Redis, secret_keys: Any = None) -> codec.Keyring | None:
    """Give the keys to sign with: given ones, else those of the environment; None on this machine without any.

    Raises:
        UnsignedPayloadError: there are none, and the Redis is elsewhere.
        ConfigError: the keys make no sense.
    """
    if isinstance(secret_keys, codec.Keyring):
        return secret_keys
    if secret_keys is not None:
        return codec.Keyring.load(secret_keys)
    if os.environ.get(ENV_NAME):
        return codec.Keyring.load()
    if is_local(client):
        return None
    raise UnsignedPayloadError(
        "values go through this Redis as pickles, and whoever can write there could run code here: set "
        f"{ENV_NAME} to the same key in every process (graflow-async keygen makes one), or use a Redis on this machine"
    )
