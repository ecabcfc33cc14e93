"""YAMLPromptManager: prompts from the YAML files of a directory, served from memory."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from ..current import is_on_loop
from ..errors import PromptConfigurationError, PromptError, PromptNotFoundError, PromptTypeError
from ..policy import require_number
from ._folder import Folder, look
from ._reading import AnyPrompt, is_part
from .prompt import ChatPrompt, TextPrompt

if TYPE_CHECKING:
    from types import TracebackType

logger = logging.getLogger("graflow_async.prompts")

DIRECTORY_VARIABLE = "GRAFLOW_PROMPTS_DIR"
LONGEST_NAME = 250
_NOT_THERE = frozenset({errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP})


class YAMLPromptManager:
    """Prompts from the YAML files of a directory; the forms of a file are described in `graflow_async.prompts`.

    A prompt is served from memory. What is in memory is compared with the disk when it was last looked at more than
    `cache_ttl` seconds ago, and only files that have changed are read again. Who waits for that depends on the caller:

    - `get_prompt` in plain code and in sync tasks looks itself; a changed file shows at the first call after it.
    - `get_prompt` on an event loop gives what is in memory and has a thread look, so a changed file shows some calls
      later. It touches the disk only where it has nothing to give: at the first call for a folder (measured with small
      files: 0.15 ms if this process has read them before, else 1 ms for each), and before it says that a prompt is
      not there. From memory a call takes 4 us; the first `render` of a prompt compiles it, in 1 ms.
    - `await aget_prompt` never holds the loop and never gives what is out of date.
    - `await aload()`, or `async with`, reads and compiles everything beforehand, in a thread; after that no call on a
      loop waits for the disk, and what is wrong with any file has been said.

    A file that was right and is not any more (half written, say) goes on being served as it was, with a warning in the
    log, until it is right again or is gone; `load` raises what is wrong with it.

    One manager may be used by any number of threads and loops at once. Making one costs nothing, and what one has read
    the others need not parse again. There is never more than one thread for a folder, it ends when it has looked, and
    `aclose` waits for it. Pickled managers look at the same directory.
    """

    def __init__(self, prompts_dir: str | os.PathLike[str] | None = None, *, cache_ttl: float = 1.0) -> None:
        """Name the directory; nothing is read yet, and it need not exist yet.

        Args:
            prompts_dir: the directory; None for that of the variable GRAFLOW_PROMPTS_DIR, or `./prompts`.
            cache_ttl: seconds for which the disk is not looked at again; 0 to look at every call.

        Raises:
            ConfigError: `cache_ttl` is no number, or negative.
        """
        require_number("cache_ttl", cache_ttl)
        given = prompts_dir if prompts_dir is not None else os.environ.get(DIRECTORY_VARIABLE) or "prompts"
        self._shown = os.fspath(given)
        self._root = os.path.abspath(self._shown)  # noqa: PTH100  # the same, without making a path of it
        self._cache_ttl = cache_ttl
        self._folders: dict[str, Folder] = {}
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}

    # -- asking -----------------------------------------------------------------------------------------------

    def get_prompt(
        self,
        name: str,
        label: str | None = "production",
        version: int | None = None,
        *,
        cache_ttl_seconds: float | None = None,
    ) -> AnyPrompt:
        """Give a prompt.

        Args:
            name: as in `summarize`, or with folders as in `customer/welcome`.
            label: which one of it; None for "production".
            version: which version of the label; None for the highest.
            cache_ttl_seconds: instead of the manager's `cache_ttl`, for this call.

        Raises:
            PromptNotFoundError: there is none of that name.
            PromptVersionNotFoundError: it has no such label or version.
            PromptConfigurationError: its file is wrong.
        """
        prefix = _prefix_of(name)
        asked = (name, label or "production", version, self._shown)
        folder = self._folders.get(prefix)
        if folder is None or not self._is_old(folder, cache_ttl_seconds):
            return (folder or self._look(prefix, name)).find(*asked)
        if not is_on_loop():
            return self._look(prefix, name).find(*asked)
        try:
            prompt = folder.find(*asked)
        except PromptError:
            return self._look(prefix, name).find(*asked)
        self._look_behind(prefix, name)
        return prompt

    async def aget_prompt(
        self,
        name: str,
        label: str | None = "production",
        version: int | None = None,
        *,
        cache_ttl_seconds: float | None = None,
    ) -> AnyPrompt:
        """Give a prompt that is up to date; if the disk has to be asked, a thread does it. Arguments as `get_prompt`.

        Raises:
            PromptError: as `get_prompt`.
        """
        prefix = _prefix_of(name)
        folder = self._folders.get(prefix)
        if folder is None or self._is_old(folder, cache_ttl_seconds):
            folder = await asyncio.to_thread(self._look, prefix, name)
        return folder.find(name, label or "production", version, self._shown)

    def get_text_prompt(
        self,
        name: str,
        label: str | None = "production",
        version: int | None = None,
        *,
        cache_ttl_seconds: float | None = None,
    ) -> TextPrompt:
        """Give a prompt that renders to a text. Arguments as `get_prompt`.

        Raises:
            PromptTypeError: it is a chat.
            PromptError: as `get_prompt`.
        """
        prompt = self.get_prompt(name, label, version, cache_ttl_seconds=cache_ttl_seconds)
        if not isinstance(prompt, TextPrompt):
            raise PromptTypeError(f"prompt {name!r} is a chat; use get_chat_prompt")
        return prompt

    def get_chat_prompt(
        self,
        name: str,
        label: str | None = "production",
        version: int | None = None,
        *,
        cache_ttl_seconds: float | None = None,
    ) -> ChatPrompt:
        """Give a prompt that renders to a list of messages. Arguments as `get_prompt`.

        Raises:
            PromptTypeError: it is a text.
            PromptError: as `get_prompt`.
        """
        prompt = self.get_prompt(name, label, version, cache_ttl_seconds=cache_ttl_seconds)
        if not isinstance(prompt, ChatPrompt):
            raise PromptTypeError(f"prompt {name!r} is a text; use get_text_prompt")
        return prompt

    # -- loading ----------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Read and compile all prompts of the directory and its folders now; this blocks.

        Raises:
            PromptConfigurationError: files that are wrong, all of them in one error.
            PromptCompilationError: a template that is wrong.
        """
        complaints: list[str] = []
        for prefix in self._prefixes():
            try:
                folder = self._look(prefix, prefix)
            except PromptNotFoundError:
                continue  # it has gone meanwhile
            complaints += folder.complaints()
            for versions in folder.prompts.values():
                for prompt in versions.values():
                    prompt.compile()
        if complaints:
            raise PromptConfigurationError("\n  ".join([f"{self._shown}: {len(complaints)} wrong", *complaints]))

    async def aload(self) -> None:
        """Do what `load` does, in a thread.

        Raises:
            PromptError: as `load`.
        """
        await asyncio.to_thread(self.load)

    def close(self) -> None:
        """Wait for the threads that look at the disk. The manager can be used again."""
        for thread in list(self._threads.values()):
            thread.join()

    async def aclose(self) -> None:
        """Do what `close` does, without holding the loop."""
        if any(thread.is_alive() for thread in self._threads.values()):
            await asyncio.to_thread(self.close)

    async def __aenter__(self) -> Self:
        """Load all prompts.

        Raises:
            PromptError: as `load`.
        """
        await self.aload()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self._root, self._cache_ttl)

    def __repr__(self) -> str:
        """Show the directory."""
        return f"<{type(self).__name__} {self._shown!r}>"

    # -- the disk ---------------------------------------------------------------------------------------------

    def _is_old(self, folder: Folder, ttl: float | None) -> bool:
        """Say whether the disk is to be asked again."""
        if ttl is None:
            ttl = self._cache_ttl
        else:
            require_number("cache_ttl_seconds", ttl)
        return monotonic() - folder.checked_at >= ttl

    def _look(self, prefix: str, name: str) -> Folder:
        """Compare a folder with the disk; who comes meanwhile waits, and shares what was found.

        Raises:
            PromptNotFoundError: there is no such folder.
            PromptConfigurationError: it cannot be read.
        """
        asked = monotonic()
        with self._lock:
            before = self._folders.get(prefix)
            if before is not None and before.checked_at > asked:
                return before
            try:
                folder = look(self._root, self._shown, prefix, before)
            except OSError as error:
                if error.errno in _NOT_THERE or error.errno is None or (prefix and error.errno == errno.ENOTDIR):
                    self._folders.pop(prefix, None)
                    where = f"no folder {prefix!r} in {self._shown}" if prefix else f"no directory {self._shown}"
                    raise PromptNotFoundError(f"there is no prompt {name!r}: there is {where}") from error
                shown = f"{self._shown}/{prefix}" if prefix else self._shown
                reason = f"{shown} cannot be read: {error.strerror or error}"
                if before is None:
                    raise PromptConfigurationError(reason) from error
                logger.warning("%s; its prompts are still served", reason)
                folder = before
                folder.checked_at = asked
            self._folders[prefix] = folder
            return folder

    def _look_behind(self, prefix: str, name: str) -> None:
        """Have a thread compare a folder with the disk, unless one is doing so."""
        thread = self._threads.get(prefix)
        if thread is not None and thread.is_alive():
            return
        thread = threading.Thread(target=self._look_quietly, args=(prefix, name), name="graflow-prompts", daemon=True)
        self._threads[prefix] = thread
        try:
            thread.start()
        except RuntimeError:
            del self._threads[prefix]
            logger.warning("no thread can be started to look at %s; its prompts may be out of date", self._shown)

    def _look_quietly(self, prefix: str, name: str) -> None:
        """Look, and leave what is wrong to those who ask; the body of the thread."""
        try:
            self._look(prefix, name)
        except PromptError as error:
            logger.warning("%s", error)
        except Exception:
            logger.exception("looking at %s failed; its prompts may be out of date", self._shown)

    def _prefixes(self) -> list[str]:
        """List the folders of the directory, each with a slash at its end; the directory itself is the empty text."""
        found = [""]
        for path, folders, _ in os.walk(self._root):
            folders[:] = sorted(folder for folder in folders if is_part(folder))
            inner = path[len(self._root) :].strip(os.sep).replace(os.sep, "/")
            found += [f"{inner}/{folder}/".lstrip("/") for folder in folders]
        return found


def _again(kind: type[YAMLPromptManager], root: str, cache_ttl: float) -> YAMLPromptManager:
    """Make a pickled manager again."""
    return kind(root, cache_ttl=cache_ttl)


def _prefix_of(name: str) -> str:
    """Give the folder that a name leads to, with a slash at its end.

    Raises:
        PromptNotFoundError: no prompt could have that name.
        TypeError: it is no text.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped callers
        raise TypeError(f"the name of a prompt is a text, not {type(name).__name__} {name!r}")
    if len(name) > LONGEST_NAME or not all(map(is_part, name.split("/"))):
        message = (
            f"no prompt can be called {name[:LONGEST_NAME]!r}: a name is made of parts with slashes between them, none "
            "of which is empty, begins with a dot, or contains a backslash or a control character, and has "
            f"{LONGEST_NAME} characters at most"
        )
        raise PromptNotFoundError(message)
    return name[: name.rfind("/") + 1]
