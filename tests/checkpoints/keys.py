"""Keys for the tests of this folder."""

from __future__ import annotations

import hmac


class SomeKeys:
    """A keyring with a few known keys, of which one is active."""

    def __init__(self, active: str = "k1", known: tuple[str, ...] = ("k1",)) -> None:
        self.active = active
        self.known = known

    def derive(self, purpose: str, kid: str) -> bytes:
        if kid not in self.known:
            raise KeyError(kid)
        return hmac.digest(b"only for tests", f"{purpose} {kid}".encode(), "sha256")
