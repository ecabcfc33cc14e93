"""Questions and letters in Redis: where they are, and every step from one state to the next."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import RedisError

from .._redis.link import Link, Script
from .._redis.names import safe, tagged
from ..broker import Change
from ..errors import StoreError
from ..feedback import FeedbackRecord, FeedbackRequest, FeedbackResponse, FeedbackState, Letter
from ._redis_scripts import ASK, AT_ONCE, CHANGE, DROP, FORGET, LAST, POST, QUESTION, TOUCH
from ._rules import asked, settled, unknown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from redis.asyncio import Redis

logger = logging.getLogger("graflow_async.feedback")

REMEMBERED = 600.0
"""Seconds for which a letter that was dropped is not taken again: it may have been posted twice, and come late."""

CHANGES, CHANGES_OF_ALL = 1_000, 10_000
"""How many changes are kept for watchers: of one run, of all."""

_BYTES, _BYTES_OF_ALL = 8 << 20, 32 << 20  # of changes, roughly: the larger one is, the fewer are kept with it
_FEWEST = 16
_MEMBERS = 2_000  # of an index that are read with one request
_TOGETHER = 250  # records that are read with one request, and taken apart without a break

Version = tuple[int, int]
NEVER: Version = (0, 0)


def version_of(text: bytes | str) -> Version:
    """Take the id of a change apart; a later change has a greater one."""
    first, _, second = (text.decode() if isinstance(text, bytes) else text).partition("-")
    return int(first), int(second)


class Kept(NamedTuple):
    """A question as it is in Redis: its record, and the id of its last change."""

    record: FeedbackRecord
    version: bytes


class Shelf:
    """What is kept for people under one prefix. The methods are given the way to Redis that they use."""

    __slots__ = ("_common", "_prefix", "_ttl")

    def __init__(self, prefix: str, expire_after: float) -> None:
        """Keep things for `expire_after` seconds after the last sign of life of their run."""
        self._prefix = prefix
        self._ttl = max(1, int(expire_after * 1000))
        base = tagged("people~", prefix)  # no run has such a tag
        self._common = (base + "changes", base + "index", base + "runs")

    def stream(self, tag: str | None) -> str:
        """Give the key of the changes of one run, or with None of all."""
        return self._common[0] if tag is None else self._keys(tag)[3]

    def _keys(self, tag: str) -> list[str]:
        base = tagged(tag, self._prefix) + "people:"
        return [*self._common, *(base + part for part in ("changes", "questions", "index", "letters", "dropped"))]

    async def _run(self, link: Link, script: Script, tag: str, *args: Any) -> Any:
        return await link.ask(script, self._keys(tag), (tag, self._ttl, *args))

    # Questions

    async def ask(self, link: Link, request: FeedbackRequest, *, again: bool) -> FeedbackRecord:
        """Put a question."""
        home = safe(request.run_id)
        body = _packed(FeedbackRecord(request).to_json())
        args = (request.id, body, safe(request.request_id), *_most(body))
        while True:
            word, told = await self._run(link, ASK, home, *args)
            if word == b"DONE":
                await self._clear_up(link, told)
                return FeedbackRecord(request)
            is_here = word == b"KNOWN"
            kept = _kept(told) if is_here else await self._at(link, told)
            if kept is None and is_here:
                raise StoreError(f"what is kept of question {request.id} in Redis cannot be read")
            if kept is None:
                # The run that had it is gone, and only the index still says so.
                await link.command("ZREM", self._common[1], told)
                continue
            record = asked(kept.record, request, again=again)
            tag = home if is_here else _tag_in(told)
            if record is kept.record or await self._change(link, tag, kept, record) is None:
                return record

    async def settle(
        self,
        link: Link,
        question_id: str,
        state: FeedbackState,
        response: FeedbackResponse | None,
        *,
        at: float,
        reason: str | None,
        revision: str | None,
    ) -> FeedbackRecord:
        """Answer, expire or cancel a question.

        Raises:
            UnknownRequestError: there is no such question.
            FeedbackError: somebody was faster, or it is another one by now.
            ValueError: this is no way to settle a question.
        """
        place = await self._place(link, question_id)
        kept = None if place is None else await self._at(link, place)
        while place is not None and kept is not None:
            record = settled(kept.record, state, response, at=at, reason=reason, revision=revision)
            if record is kept.record:
                return record
            word = await self._change(link, _tag_in(place), kept, record)
            if word is None:
                return record
            now = _kept(word) if word else None
            if now is not None and record.state is FeedbackState.EXPIRED and response is None and _is_open(now, kept):
                # Nothing but an end opens a question again: it has expired since we looked, by us (whose answer got
                # lost) or by somebody else. It must not do so once more.
                return record
            kept = now
        raise unknown(question_id)

    async def _change(self, link: Link, tag: str, kept: Kept, record: FeedbackRecord) -> bytes | None:
        """Put a record in the place of another one; None if it is there, else what is (nothing: b"")."""
        body = _packed(record.to_json())
        states = (str(kept.record.state), str(record.state))
        word, *told = await self._run(link, CHANGE, tag, record.request.id, body, kept.version, *states, *_most(body))
        if word == b"DONE":
            await self._clear_up(link, told[0])
            return None
        return told[0] if told else b""

    async def get(self, link: Link, question_id: str) -> FeedbackRecord | None:
        """Find a question by its address."""
        place = await self._place(link, question_id)
        kept = None if place is None else await self._at(link, place)
        return None if kept is None else kept.record

    async def _place(self, link: Link, question_id: str) -> bytes | None:
        """Find the member of the index that says which run has a question."""
        ends = (f"[i:{question_id}:", f"(i:{question_id};")
        found = await link.command("ZRANGEBYLEX", self._common[1], *ends, "LIMIT", 0, 1)
        return found[0] if found else None

    async def _at(self, link: Link, place: bytes) -> Kept | None:
        _, address, tag = place.decode().split(":", 2)
        body = await link.command("HGET", self._keys(tag)[4], address)
        return None if body is None else _kept(body)

    async def find(
        self, link: Link, run_id: str | None, request_id: str | None, state: FeedbackState | None
    ) -> list[FeedbackRecord]:
        """List questions, in no order."""
        start = f"s:{state}:" if state is not None else "s:"
        if request_id is not None:
            start = f"n:{safe(request_id)}:"
        tag = None if run_id is None else safe(run_id)
        return [
            kept.record
            async for kept in self._found(link, tag, start)
            if run_id in (None, kept.record.request.run_id)
            and request_id in (None, kept.record.request.request_id)
            and state in (None, kept.record.state)
        ]

    async def _found(self, link: Link, tag: str | None, start: str) -> AsyncGenerator[Kept]:
        """Read the questions to which the members of an index lead that begin with `start`."""
        index = self._common[1] if tag is None else self._keys(tag)[5]
        # A question that changes its state just now may be there twice.
        wanted: dict[str, dict[str, None]] = {}
        async for member in self._members(link, index, start):
            _, _, address, *rest = member.decode().split(":", 3)
            wanted.setdefault(tag if tag is not None else rest[0], {})[address] = None
        reads = (
            (self._keys(of)[4], addresses[at : at + _TOGETHER])
            for of, addresses in ((of, list(known)) for of, known in wanted.items())
            for at in range(0, len(addresses), _TOGETHER)
        )
        for some in _batches(reads):
            for body in await self._read(link, some):
                kept = None if body is None else _kept(body)
                if kept is not None:
                    yield kept

    async def _members(self, link: Link, index: str, start: str) -> AsyncGenerator[bytes]:
        after, end = b"[" + start.encode(), "(" + start[:-1] + ";"
        while True:
            members: list[bytes] = await link.command("ZRANGEBYLEX", index, after, end, "LIMIT", 0, _MEMBERS)
            for member in members:
                yield member
            if len(members) < _MEMBERS:
                return
            after = b"(" + members[-1]

    async def _read(self, link: Link, reads: list[tuple[str, list[str]]]) -> list[Any]:
        async def send(client: Redis) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                ask: Any = pipe
                for key, fields in reads:
                    ask.hmget(key, fields)
                return await ask.execute()

        return [body for bodies in await link.until_answered(send) for body in bodies]

    # Letters

    async def post(self, link: Link, letter: Letter) -> None:
        """Keep a letter, unless it is there or was dropped a short while ago."""
        body = _packed(asdict(letter))
        word, *told = await self._run(link, POST, safe(letter.run_id), _field(letter.id), body, *_most(body))
        if word == b"DONE":
            await self._clear_up(link, told[0])

    async def letters(self, link: Link, run_id: str) -> list[Letter]:
        """List the letters of a run, in no order."""
        found = [letter async for letter, _ in self._letters(link, safe(run_id))]
        return [letter for letter in found if letter.run_id == run_id]

    async def _letters(self, link: Link, tag: str) -> AsyncGenerator[tuple[Letter, bytes]]:
        key = self._keys(tag)[6]
        ids: list[Any] = await link.command("HKEYS", key)
        for some in _batches((key, ids[at : at + _TOGETHER]) for at in range(0, len(ids), _TOGETHER)):
            for body in await self._read(link, some):
                version, _, content = (body or b"").partition(b"\n")
                letter = _letter(content) if content else None
                if letter is not None:
                    yield letter, version

    async def drop(self, link: Link, run_id: str, letter_ids: Sequence[str]) -> None:
        """Forget letters."""
        for at in range(0, len(letter_ids), AT_ONCE):
            ids = map(_field, letter_ids[at : at + AT_ONCE])
            await self._run(link, DROP, safe(run_id), int(REMEMBERED * 1000), *ids)

    # Runs

    async def forget(self, link: Link, tag: str, *, only_if_overdue: bool = False) -> None:
        """Remove everything of a run."""
        while (await self._run(link, FORGET, tag, "overdue" if only_if_overdue else "", AT_ONCE))[0] == b"MORE":
            pass

    async def _clear_up(self, link: Link, tag: bytes) -> None:
        """Remove what is left elsewhere of a run whose own keys have expired."""
        if tag:
            # Whoever comes next tries again.
            with suppress(RedisError, OSError):
                await self.forget(link, tag.decode(), only_if_overdue=True)

    async def touch(self, link: Link, tag: str) -> None:
        """Give a sign of life of a run."""
        await self._run(link, TOUCH, tag)

    # For watchers

    async def last(self, link: Link, tag: str | None) -> tuple[Version, Version]:
        """Give the last change of all runs, and of one; with None the same twice."""
        everything, mine = await link.ask(LAST, (self._common[0], self.stream(tag)), ("", 0))
        return version_of(everything), version_of(mine)

    async def everything(self, link: Link, tag: str | None) -> list[tuple[Version, Change]]:
        """Give the last change of every question and letter of a run, or with None of all; in their order."""
        found = [
            (version_of(kept.version), Change(kept.record.request.run_id, kept.record))
            async for kept in self._found(link, tag, "s:")
        ]
        tags = [tag.encode()] if tag is not None else await link.command("ZRANGE", self._common[2], 0, -1)
        for one in tags:
            found += [
                (version_of(version), Change(letter.run_id, letter=letter))
                async for letter, version in self._letters(link, one.decode())
            ]
        return sorted(found, key=lambda each: each[0])


def change_of(kind: bytes, body: bytes) -> Change | None:
    """Give what an entry of a stream tells; None if it cannot be read."""
    if kind == QUESTION.encode():
        record = _record(body)
        return None if record is None else Change(record.request.run_id, record)
    letter = _letter(body)
    return None if letter is None else Change(letter.run_id, letter=letter)


def _packed(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _field(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _tag_in(place: bytes) -> str:
    return place.decode().split(":", 2)[2]


def _most(body: bytes) -> tuple[int, int]:
    """Say how many changes are kept beside one of this size: of its run, of all."""
    size = len(body) or 1
    return max(_FEWEST, min(CHANGES, _BYTES // size)), max(_FEWEST, min(CHANGES_OF_ALL, _BYTES_OF_ALL // size))


def _is_open(now: Kept, before: Kept) -> bool:
    return now.record.state is FeedbackState.PENDING and now.version != before.version


def _kept(body: bytes) -> Kept | None:
    version, _, content = body.partition(b"\n")
    record = _record(content)
    return None if record is None else Kept(record, version)


def _record(body: bytes) -> FeedbackRecord | None:
    try:
        return FeedbackRecord.from_json(json.loads(body))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        logger.warning("a question in Redis cannot be read, and is passed over: %s", error)
        return None


def _letter(body: bytes) -> Letter | None:
    try:
        return Letter(**json.loads(body))
    except (ValueError, TypeError, RecursionError) as error:
        logger.warning("a letter in Redis cannot be read, and is passed over: %s", error)
        return None


def _batches(reads: Iterable[tuple[str, list[Any]]]) -> Iterable[list[tuple[str, list[Any]]]]:
    """Put reads together until they ask for enough."""
    some: list[tuple[str, list[Any]]] = []
    count = 0
    for read in reads:
        some.append(read)
        count += len(read[1])
        if count >= _TOGETHER:
            yield some
            some, count = [], 0
    if some:
        yield some
