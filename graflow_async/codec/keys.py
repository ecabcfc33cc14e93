"""The signing keys of this process: where they come from, which ones are refused, what is derived from them.

Nothing is signed here; that is `envelope.py`. A key is never shown: neither in a repr nor in an error nor in a pickle.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

from ..errors import ConfigError, SecurityError

if TYPE_CHECKING:
    from collections.abc import Sequence

ENV_NAME: Final = "GRAFLOW_SECRET_KEY"
KEY_BYTES: Final = 32
"""The least that a key must have, in bytes; also the size of every derived key."""
MAX_ID: Final = 64
"""The longest key id, in characters."""

_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_ID}}}")
_FILE_LIMIT = 16_384  # bytes; a key file is a line or two
_LONGEST_REPEAT = 64  # bytes
_DERIVED_LIMIT = 256  # derived keys that are remembered; purposes are few
_SALT = b"graflow_async signing keys, version 1"
_HINT = f'make one with: python -c "import secrets; print(secrets.token_urlsafe({KEY_BYTES}))"'
# Parts of keys that stand in documentation and templates, in lower case without punctuation. A random key holds none.
_SAMPLES = (
    *("changeme", "changethis", "replaceme", "replacethis", "yoursecret", "donotuse", "notasecret", "insecure"),
    *("example", "placeholder", "samplekey", "documentation", "1234567890", "0123456789", "abcdefghij", "qwertyuiop"),
)


def generate_key() -> str:
    """Make a new random key, as text that fits an environment variable."""
    return secrets.token_urlsafe(KEY_BYTES)


class Keyring:
    """Signing keys by id: one of them signs, all of them verify.

    Attributes:
        active: id of the key that signs.
        is_local: whether the key is the one that this machine made for itself, which nobody else knows.
    """

    __slots__ = ("_derived", "_masters", "active", "is_local")

    def __init__(self, keys: Mapping[str, bytes], *, is_local: bool = False) -> None:
        """Take keys by id, the one that signs first.

        Raises:
            ConfigError: there is none, or an id or a key is unfit.
        """
        for kid, key in keys.items():
            if _ID.fullmatch(kid) is None:
                raise ConfigError(f"a key id is 1 to {MAX_ID} letters, digits or any of . _ -, and not {kid!r}")
            problem = _weakness(key)
            if problem:
                raise ConfigError(f"the signing key {kid!r} {problem}; {_HINT}")
        if not keys:
            raise ConfigError(f"there is no signing key; {_HINT}")
        self.active = next(iter(keys))
        self.is_local = is_local
        self._masters = {kid: hmac.digest(_SALT, key, "sha256") for kid, key in keys.items()}
        self._derived: dict[tuple[str, str], bytes] = {}

    @classmethod
    def load(
        cls,
        secret_keys: str | bytes | Sequence[str | bytes] | Mapping[str, str | bytes] | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] = os.environ,
    ) -> Self:
        """Find the keys: those given, else those of GRAFLOW_SECRET_KEY, else the local key file, made if need be.

        Text is split at commas. The first key signs and all verify, so a key is rotated by putting the new one in front
        and taking the old one away when nothing signed with it is needed any more. May read and write a small file.

        Args:
            secret_keys: a key, several, or keys by ids of your choice; None for the environment or the file.
            path: the key file; None for `graflow_async/key` below `$XDG_STATE_HOME` or `~/.local/state`.
            env: the environment.

        Raises:
            ConfigError: a key is unfit (short, a sample, empty), or the key file cannot be read or made.
            SecurityError: the key file or its folder is open to others, or the file is damaged.
        """
        if secret_keys is not None:
            return cls(_by_id(secret_keys, "secret_keys"))
        text = env.get(ENV_NAME)
        if text is not None:
            return cls(_by_id(text, ENV_NAME))
        place = _default_path(env) if path is None else Path(path)
        try:
            return cls(_by_id(_local_text(place), str(place)), is_local=True)
        except ConfigError as error:
            raise SecurityError(
                f"the key file {place} is damaged ({error}); put it back from a copy, or delete it: what was signed "
                "with the lost key can then no longer be read"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"the local key file {place} cannot be read or made ({error}); set {ENV_NAME} instead: {_HINT}"
            ) from error

    @property
    def ids(self) -> tuple[str, ...]:
        """Give the ids of all keys, the one that signs first."""
        return tuple(self._masters)

    def derive(self, purpose: str, kid: str | None = None) -> bytes:
        """Derive the 32 bytes that serve one purpose (HKDF-SHA256): keys of two purposes say nothing about each other.

        Args:
            purpose: what the key is for, one of a few fixed texts.
            kid: id of the key to derive from; None for the one that signs.

        Raises:
            SecurityError: there is no key of that id.
        """
        kid = self.active if kid is None else kid
        found = self._derived.get((kid, purpose))
        if found is None:
            master = self._masters.get(kid)
            if master is None:
                raise SecurityError(
                    f"no signing key has the id {kid!r} here (known: {', '.join(self.ids)}); if you signed it, add "
                    f"the key of that time to {ENV_NAME} or secret_keys, behind the first"
                )
            if len(self._derived) >= _DERIVED_LIMIT:
                self._derived.clear()
            found = self._derived[kid, purpose] = hmac.digest(master, purpose.encode() + b"\x01", "sha256")
        return found

    def __repr__(self) -> str:
        return f"Keyring(active={self.active!r}, ids={self.ids!r}, is_local={self.is_local})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("signing keys are not pickled: they must not travel with what they sign")


def key_id(key: bytes) -> str:
    """Give the id of a key that was given none: it tells keys apart and does not give them away."""
    return hashlib.sha256(b"graflow_async key id\x00" + key).hexdigest()[:8]


def _by_id(given: Any, origin: str) -> dict[str, bytes]:
    """Bring keys, in whichever form they were given, to an id for each.

    Raises:
        ConfigError: something is no key at all, or unfit.
    """
    if isinstance(given, Mapping):
        named: Mapping[Any, Any] = given  # pyright: ignore[reportUnknownVariableType]
        if any(isinstance(key, str) and "," in key for key in named.values()):
            raise ConfigError(f"a key of {origin} contains a comma, which separates keys; {_HINT}")
        return {str(kid): _one(key, origin) for kid, key in named.items()}
    is_many = isinstance(given, Iterable) and not isinstance(given, str | bytes)
    pieces = cast("list[Any]", list(given) if is_many else [given])  # pyright: ignore[reportUnknownArgumentType]
    keys = [
        _one(part, origin) for piece in pieces for part in (piece.split(",") if isinstance(piece, str) else [piece])
    ]
    for number, key in enumerate(keys, 1):
        problem = _weakness(key)
        if problem:
            raise ConfigError(f"key {number} of {len(keys)} in {origin} {problem}; {_HINT}")
    by_id = {key_id(key): key for key in keys}
    if len(by_id) < len(set(keys)):
        raise ConfigError(f"two keys in {origin} happen to have one id; give them ids of your own, or make a new key")
    return by_id


def _one(key: Any, origin: str) -> bytes:
    """Bring a key to bytes; the ends of a text are stripped, as files and shells add line ends."""
    if isinstance(key, str):
        return key.strip().encode()
    if isinstance(key, bytes):
        return key
    raise ConfigError(f"a key in {origin} is text or bytes, not {type(key).__name__}")


def _weakness(key: bytes) -> str:
    """Say why a key is unfit, without showing it; empty if it is fit."""
    if len(key) < KEY_BYTES:
        return f"has {len(key)} bytes, and {KEY_BYTES} are the least"
    repeats = any(key[size:] == key[:-size] for size in range(1, min(len(key) // 2, _LONGEST_REPEAT) + 1))
    if repeats or len(set(key)) < 8:
        return "only repeats itself"
    plain = "".join(filter(str.isalnum, key.decode("latin-1").lower()))
    if any(sample in plain for sample in _SAMPLES):
        return "is a sample that everybody knows"
    return ""


def _default_path(env: Mapping[str, str]) -> Path:
    state = Path(env.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # as the specification asks
        try:
            state = Path(env.get("HOME") or "~").expanduser() / ".local" / "state"
        except RuntimeError as error:
            raise ConfigError(
                f"there is no home folder to keep a signing key in; set {ENV_NAME} instead: {_HINT}"
            ) from error
    return state / "graflow_async" / "key"


def _local_text(path: Path) -> str:
    """Read the local key file, and make it first if there is none; of several makers at once the first one counts.

    Raises:
        SecurityError: others could have read or replaced it.
        OSError: it cannot be read or made.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        _make(path)
        return _read(path)


def _read(path: Path) -> str:
    try:
        # Without blocking: a pipe in the place of the file must not hold the program.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SecurityError(f"the key file {path} is a symbolic link; put the file itself there") from error
        raise
    try:
        _require_private(path, os.fstat(descriptor))
        data = os.read(descriptor, _FILE_LIMIT + 1)
    finally:
        os.close(descriptor)
    if len(data) > _FILE_LIMIT or not data.isascii():
        raise SecurityError(f"the key file {path} holds something else than keys; move it away, or give another path")
    return data.decode("ascii")


def _require_private(path: Path, file: os.stat_result) -> None:
    """Refuse a key file that somebody else may have read, written or put there."""
    folder = path.parent.stat()
    ours = {os.geteuid(), 0}
    if not stat.S_ISREG(file.st_mode):
        raise SecurityError(f"the key file {path} is no plain file; move it away, or give another path")
    if file.st_uid not in ours or folder.st_uid not in ours:
        raise SecurityError(f"the key file {path} or its folder belongs to another user; give a path of your own")
    if stat.S_IMODE(file.st_mode) & 0o077:
        raise SecurityError(
            f"others may read the key file {path} (mode {stat.S_IMODE(file.st_mode):04o}): chmod 600 {path}; if others "
            "use this machine, delete it instead, so that a new key is made"
        )
    # In a sticky folder, such as a temporary one, others cannot replace what is not theirs.
    if folder.st_mode & 0o022 and not folder.st_mode & stat.S_ISVTX:
        raise SecurityError(f"others may replace the key file {path}: chmod go-w {path.parent}")


def _make(path: Path) -> None:
    """Write a new key beside its place, whole and on the disk, and link it there unless another was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(generate_key() + "\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
