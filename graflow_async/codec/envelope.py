"""The signed envelope around bytes: what is signed, and what is refused.

::

    "GFE" | version u8 | flags u8 | length of the key id u8 | key id | payload | tag of 32 bytes
    tag = HMAC-SHA256(key derived for the purpose, everything in front of the tag)

The algorithm belongs to the version and is never read from the bytes. A purpose has a key of its own, so what was
signed for one purpose is refused for any other. A signature does not keep anything secret, and does not say whether
the same bytes were already handed over once.
"""

from __future__ import annotations

import hmac
from typing import Final

from ..errors import NotSerializableError, SecurityError, UnsignedPayloadError
from .keys import ENV_NAME, MAX_ID, Keyring

LARGEST: Final = 1 << 30
"""The largest payload, in bytes."""

_MAGIC = b"GFE"
_VERSION = 1
_FLAGS = 0  # none is defined yet; whoever sets one writes something that this version does not understand
_FRONT = len(_MAGIC) + 3
_TAG = 32
_NOTHING_LOADED = "nothing in it was loaded"


def seal(payload: bytes, purpose: str, keyring: Keyring) -> bytes:
    """Sign bytes for a purpose with the active key.

    Raises:
        NotSerializableError: they are larger than `LARGEST`.
    """
    if len(payload) > LARGEST:
        raise NotSerializableError(
            f"{len(payload)} bytes for {purpose!r} are more than the {LARGEST} that can be signed at once; keep large "
            "data elsewhere and pass a reference to it"
        )
    kid = keyring.active.encode("ascii")
    body = b"".join((_MAGIC, bytes((_VERSION, _FLAGS, len(kid))), kid, payload))
    return body + hmac.digest(keyring.derive(purpose), body, "sha256")


def unseal(data: bytes, purpose: str, keyring: Keyring) -> bytes:
    """Give the payload of an envelope that was signed for this purpose with a known key.

    Raises:
        UnsignedPayloadError: it is no envelope at all.
        SecurityError: it was altered or cut short, signed for another purpose or with an unknown key, or made by a
            newer version.
    """
    if data[: len(_MAGIC)] != _MAGIC:
        raise UnsignedPayloadError(
            f"these bytes for {purpose!r} are not signed, so {_NOTHING_LOADED}; let whoever writes them sign with the "
            f"same key (set {ENV_NAME} there and here)"
        )
    if len(data) < _FRONT + 1 + _TAG:
        raise SecurityError(f"a signed envelope for {purpose!r} was cut short, so {_NOTHING_LOADED}; send it again")
    version, flags, size = data[len(_MAGIC) : _FRONT]
    if version != _VERSION:
        raise SecurityError(
            f"the envelope for {purpose!r} has version {version} and this program reads {_VERSION}, so "
            f"{_NOTHING_LOADED}; if a newer graflow_async wrote it, upgrade this one"
        )
    start = _FRONT + size
    if not 0 < size <= MAX_ID or not start + _TAG <= len(data) <= start + LARGEST + _TAG:
        raise SecurityError(f"the envelope for {purpose!r} is damaged, so {_NOTHING_LOADED}; use an unaltered copy")
    key = keyring.derive(purpose, str(data[_FRONT:start], "ascii", "backslashreplace"))
    if not hmac.compare_digest(hmac.digest(key, memoryview(data)[:-_TAG], "sha256"), data[-_TAG:]):
        raise SecurityError(
            f"the signature does not fit: these bytes were altered, cut short, or signed for something else than "
            f"{purpose!r}; {_NOTHING_LOADED}; use an unaltered copy, and find out who else can write there"
        )
    if flags != _FLAGS:
        raise SecurityError(
            f"the envelope for {purpose!r} is well signed but uses something that this version does not know (flags "
            f"{flags:#04x}); upgrade graflow_async"
        )
    return data[start:-_TAG]
