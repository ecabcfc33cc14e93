"""What files of checkpoints need of a keyring, and what they say when a key is missing; no key is made here."""

from __future__ import annotations

from typing import Any, Protocol

from .._lazy import lazily
from ..errors import CheckpointTamperedError, SecurityError

_codec: Any = lazily("graflow_async.codec")

PURPOSE = "journal"
"""The purpose that the key of every file here is derived for."""


class Keys(Protocol):
    """Keys by their ids, with one of them for what is written now."""

    @property
    def active(self) -> str:
        """Give the id of the key that signs new files."""
        ...

    def derive(self, purpose: str, kid: str) -> bytes:
        """Give the key of one purpose.

        Raises:
            LookupError: there is no key of that id (a SecurityError is understood as well).
        """
        ...


def load_default() -> Keys:
    """Give the keys of this user, made at first use; it may touch the disk, so call it in a thread."""
    return _codec.Keyring.load()


def key_of(keys: Keys, kid: str) -> bytes:
    """Give the key of a file that says it was signed with `kid`.

    Raises:
        CheckpointTamperedError: that key is not known here.
    """
    try:
        return keys.derive(PURPOSE, kid)
    except (LookupError, SecurityError) as error:
        raise CheckpointTamperedError(
            f"the file was signed with the key {kid!r}, which is not known here; add that key to the keys you read with"
        ) from error
