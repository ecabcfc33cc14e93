"""What goes in and out of the queue of jobs: plain values."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

State: TypeAlias = Literal["queued", "running", "suspect", "done", "failed", "dead", "cancelled", "missing"]
"""Where a job stands; `suspect` was taken from a dead worker, `missing` means that Redis knows no such job."""

Kind: TypeAlias = Literal["done", "failed", "dead", "cancelled", "lost", "message"]
"""What an event tells; the first four end their job, `lost` ends one claim of it."""

Fate: TypeAlias = Literal["ok", "already", "fenced", "gone"]
"""What became of a report: taken, taken before, refused because the claim was lost, or Redis knows no such job."""

ENDED: Final = frozenset({"done", "failed", "dead", "cancelled"})


class Job(NamedTuple):
    """One job as a driver sends it.

    Attributes:
        id: unique among the jobs of its run, retries included: an id that has ended does not run again.
        payload: what the worker gets.
        flags: up to 60 bytes that the worker gets as well, for whoever must know something before opening the payload.
    """

    id: str
    payload: bytes
    flags: bytes = b""


class Event(NamedTuple):
    """One piece of news for a driver.

    Attributes:
        id: of the batch that it came in; batches are in order, and so are the events of one.
        kind: see `Kind`.
        job: id of the job.
        fence: the claim that it is about.
        tries: bodies of this job that have begun.
        crashes: workers that died under it.
        worker: id of the worker.
        data: result, failure or message as the worker gave it; for `dead` and `lost` the reason as text.
    """

    id: str
    kind: Kind
    job: str
    fence: int
    tries: int
    crashes: int
    worker: str
    data: bytes


class Claim:
    """One worker's hold of one job: nobody else's report about it is accepted while it lasts.

    Attributes:
        run: the run as keys name it.
        job: id of the job.
        payload: as the driver sent it.
        flags: as the driver sent them.
        fence: grows with every claim of the job.
        nonce: of the claim; tells two claims apart even if Redis has forgotten how far it had counted.
        tries: bodies of this job that have begun, this one included.
        crashes: workers that died under it so far.
        solo: it must run alone, where its death harms nobody else.
        entry: its place in the stream.
        said: messages sent so far.
    """

    __slots__ = ("crashes", "entry", "fence", "flags", "job", "nonce", "payload", "ref", "run", "said", "solo", "tries")

    def __init__(
        self, entry: bytes, ref: bytes, payload: bytes, nonce: bytes, found: tuple[int, ...], flags: bytes
    ) -> None:
        """Make it from an entry of the stream and what the script answered: `found` is fence, tries, crashes, solo."""
        self.entry = entry
        self.ref = ref
        run, _, job = ref.partition(b":")
        self.run = run.decode()
        self.job = job.decode("utf-8", "surrogatepass")
        self.payload = payload
        self.nonce = nonce
        self.fence, self.tries, self.crashes = found[:3]
        self.solo = found[3] > 0
        self.flags = flags
        self.said = 0

    def __repr__(self) -> str:
        """Name the job and the claim."""
        return f"<Claim {self.run}:{self.job} fence={self.fence} tries={self.tries} crashes={self.crashes}>"


class Entry(NamedTuple):
    """A job as it was read from the stream: nobody runs it before it is begun.

    Attributes:
        id: its place in the stream.
        ref: run and job.
        payload: as the driver sent it.
    """

    id: bytes
    ref: bytes
    payload: bytes


class Delivery(NamedTuple):
    """What a driver has for a job that runs.

    Attributes:
        id: its place in the worker's inbox.
        kind: a message, or the wish that the job be cancelled.
        run: the run as keys name it.
        job: id of the job.
        fence: the claim that is meant; ignore it if another one runs now.
        data: the message.
    """

    id: str
    kind: Literal["message", "cancel"]
    run: str
    job: str
    fence: int
    data: bytes


class WorkerInfo(NamedTuple):
    """A worker that is alive.

    Attributes:
        id: its id.
        info: what it said about itself when it joined.
        left: seconds until its lease ends unless it is renewed.
    """

    id: str
    info: bytes
    left: float


class DeadLetter(NamedTuple):
    """A job that was given up because workers died under it.

    Attributes:
        id: of the letter.
        run: the run as keys name it.
        job: id of the job.
        at: when, in seconds since the epoch by the clock of Redis.
        crashes: workers that died under it, those under it alone included.
        reason: one line per death: when (ms), which worker, which fence, alone or in company, and what was said of it.
        payload: as the driver sent it.
        flags: as the driver sent them.
    """

    id: str
    run: str
    job: str
    at: float
    crashes: int
    reason: str
    payload: bytes
    flags: bytes
