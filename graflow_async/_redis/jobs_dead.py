"""Dead letters: jobs that were given up because workers died under them, for an operator to look at."""

from __future__ import annotations

from typing import Any

from .jobs_calls import PATIENCE, Calls
from .jobs_data import DeadLetter, State


class DeadLetters:
    """The dead letters of one queue, oldest first; they stay for 30 days after the last one came."""

    def __init__(self, calls: Calls) -> None:
        """Stand ready; nothing is sent yet."""
        self._calls = calls
        self._key = calls.prefix + "dlq"

    async def list(self, after: str = "", count: int = 100) -> list[DeadLetter]:
        """List at most `count` letters that come after one; an empty `after` begins with the oldest.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        return await self._range(f"({after}" if after else "-", "+", count)

    async def show(self, letter_id: str) -> DeadLetter | None:
        """Give one letter; None if there is none of that id.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        letters = await self._range(letter_id, letter_id, 1) if _is_id(letter_id) else []
        return letters[0] if letters else None

    async def retry(self, letter_id: str) -> State:
        """Let the job run again, its deaths forgotten: `queued` if it will; a driver that resumes the run hears of it.

        Raises:
            QueueFullError: Redis has no memory left.
            StoreUnavailableError: Redis does not answer.
        """
        letter = await self.show(letter_id)
        if letter is None:
            return "missing"
        ref = f"{letter.run}:{letter.job}".encode("utf-8", "surrogatepass")
        answer = await self._calls.run("raise", [letter_id, ref], "retrying a dead letter")
        return answer.decode()

    async def drop(self, letter_id: str) -> bool:
        """Remove a letter; False if there is none of that id.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        if not _is_id(letter_id):
            return False

        async def once(_: int) -> Any:
            return await self._calls.client.xdel(self._key, letter_id)

        return bool(await self._calls.patiently(once, "dropping a dead letter", PATIENCE))

    async def _range(self, first: str, last: str, count: int) -> list[DeadLetter]:
        async def once(_: int) -> Any:
            return await self._calls.client.xrange(self._key, first, last, count=count)

        rows = await self._calls.patiently(once, "reading dead letters", PATIENCE)
        return [_letter(number.decode(), fields) for number, fields in rows]


def _is_id(text: str) -> bool:
    """Say whether a text could be an id; Redis refuses others, and takes some of them for a whole range."""
    parts = text.split("-")
    return len(parts) == 2 and all(part.isascii() and part.isdecimal() and int(part) < 2**64 for part in parts)


def _letter(number: str, fields: dict[bytes, bytes]) -> DeadLetter:
    run, _, job = fields[b"j"].partition(b":")
    return DeadLetter(
        id=number,
        run=run.decode(),
        job=job.decode("utf-8", "surrogatepass"),
        at=int(number.partition("-")[0]) / 1000,
        crashes=int(fields[b"c"]),
        reason=fields[b"r"].decode("utf-8", "replace"),
        payload=fields[b"p"],
        flags=fields[b"x"],
    )
