"""Values as bytes: pickled, explained where that fails, and signed, so that nothing is unpickled that others wrote.

`dumps` and `loads` are for values, `dumps_error` and `loads_error` for exceptions, `seal` and `unseal` put a signed
envelope around bytes with the keys of a `Keyring`, and `explain` says which part of a value cannot be pickled.
Loading a pickle runs code: whatever came from outside this process goes through `unseal` (or another check of its
signature) before it goes through `loads`.
"""

from __future__ import annotations

from .culprit import explain as explain
from .envelope import seal as seal
from .envelope import unseal as unseal
from .failures import dumps_error as dumps_error
from .failures import loads_error as loads_error
from .keys import Keyring as Keyring
from .keys import generate_key as generate_key
from .values import dumps as dumps
from .values import loads as loads
