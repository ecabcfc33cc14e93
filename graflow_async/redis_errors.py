"""The errors that only a Redis brings about; loaded when somebody talks to one.

Their place in the tree of `errors` is below StoreError.
"""

from __future__ import annotations

from .errors import StoreError


class RedisAccessError(StoreError):
    """Redis does not let this process in: name, password, rights or certificates; trying again would not help."""
