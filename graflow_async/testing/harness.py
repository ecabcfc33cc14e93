"""What a test under `@pytest.mark.graflow` runs its workflows with: recorded, killed as planned, and gone on with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..brokers.memory import MemoryBroker
from ..checkpointer import Checkpointer
from ..checkpoints.file import FileCheckpointer
from ..checkpoints.memory import MemoryCheckpointer
from ..events import TaskStarted
from ..feedback import FeedbackRequest
from ..feedback_manager import FeedbackManager
from ..keywords import RunOptions
from ..workflow import Workflow
from .crashes import MortalCheckpointer
from .people import Matcher, ScriptedPeople
from .recorder import EventRecorder
from .running import simulate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Unpack

_ONCE = ("inputs", "run_id", "checkpointer", "checkpoint_dir", "listeners")  # not for the lives after the first


class CrashSafetyError(AssertionError):
    """A run that died and was resumed did not come to the end that it comes to undisturbed."""


class Outcome(NamedTuple):
    """How a run ended: with a value, or with an error."""

    value: Any
    error: BaseException | None

    def is_like(self, other: Outcome) -> bool:
        """Say whether both ended alike; what cannot be compared counts as alike."""
        if self.error is not None or other.error is not None:
            return (type(self.error), str(self.error)) == (type(other.error), str(other.error))
        try:
            return bool(self.value == other.value)
        except Exception:  # noqa: BLE001  # whatever the user's own comparison raises
            return True

    def __str__(self) -> str:
        """Tell it."""
        return f"gives {self.value!r}" if self.error is None else f"raises {self.error!r}"


class Undisturbed(NamedTuple):
    """A performance of a test's body in which nothing died.

    Attributes:
        outcomes: of its runs, in the order in which they were started.
        commits: how many records its runs have committed.
        starts: task id -> how often its body began.
    """

    outcomes: tuple[Outcome, ...]
    commits: int
    starts: Counter[str]


class Harness:
    """Runs workflows for one test; the fixture `graflow`. Each performance of the test's body begins afresh.

    Attributes:
        seed: of the schedule; None for the usual order.
        crash_after: the commit after which the process dies; None if it does not.
        events: what has happened in the runs.
        feedback: answers the questions of runs that are given no other `feedback=`.
        commits: how many records the runs have committed.
    """

    def __init__(self) -> None:
        """Begin as without a plan: nothing is varied, nothing dies."""
        self.is_journaled = False
        self.compares = True
        self.begin(None)

    def begin(self, seed: int | None, crash_after: int | None = None, wanted: Undisturbed | None = None) -> None:
        """Begin a performance of the body.

        Args:
            seed: of its schedule.
            crash_after: the commit after which the process dies; None if it does not.
            wanted: what comes of it undisturbed.
        """
        self.seed = seed
        self.crash_after = crash_after
        self.events = EventRecorder()
        self.feedback = FeedbackManager(MemoryBroker())
        self.commits = 0
        self._wanted = wanted
        self._outcomes: list[Outcome] = []
        self._journals: dict[str, Checkpointer] = {}
        self._scripts: list[ScriptedPeople] = []
        self._lives = 0

    def finish(self) -> Undisturbed:
        """End a performance, and give what came of it.

        Raises:
            AssertionError: a scripted answer was never asked for.
        """
        for people in self._scripts:
            people.assert_all_asked()
        starts = Counter(self.events.ids_of(TaskStarted))
        return Undisturbed(tuple(self._outcomes), self.commits, starts)

    @property
    def has_crashed(self) -> bool:
        """Whether the process has died in this performance."""
        return self._lives > 0

    @property
    def repeated(self) -> Counter[str]:
        """Task id -> how often its body began beyond what it does undisturbed; empty before anything died."""
        if self._wanted is None:
            return Counter()
        return Counter(self.events.ids_of(TaskStarted)) - self._wanted.starts

    # -- for tests --------------------------------------------------------------------------------------------

    async def run(
        self, work: Workflow | Callable[[], Workflow], start_node: Any = None, **options: Unpack[RunOptions]
    ) -> Any:
        """Run a workflow and give its value; where the plan lets the process die, the run is resumed.

        Args:
            work: a workflow; or a function that makes one, called anew after a death, so that what it keeps in
                variables of its own is lost as it would be.
            start_node: as for `wf.run`.
            options: as for `wf.run`. With `checkpoint_dir` each performance has a folder of its own in it.

        Raises:
            CrashSafetyError: the run came to another end than undisturbed.
            BaseException: as `wf.run`.
        """
        given: Any = options
        run_id: str = given.get("run_id") or f"run-{len(self._outcomes) + 1}"
        kept = self._journal(given)
        more: dict[str, Any] = {"feedback": self.feedback, **given, "run_id": run_id}
        more.pop("checkpoint_dir", None)

        async def begin(flow: Workflow, **others: Any) -> Any:
            return await flow.run(start_node, **{**more, **others})

        if kept is None:
            return await self._recorded(begin(_made(work), listeners=self._listeners(given)))
        self._journals[run_id] = kept
        return await self._lived(work, run_id, begin, given, kept)

    async def resume(self, work: Workflow | Callable[[], Workflow], source: str, **options: Unpack[RunOptions]) -> Any:
        """Go on with a run that has paused or failed, and give its value; it may die, too.

        Args:
            work: as for `run`.
            source: the id of a run of this performance, or of one in the checkpointer that is given.
            options: as for `wf.resume`.

        Raises:
            CrashSafetyError: the run came to another end than undisturbed.
            BaseException: as `wf.resume`.
        """
        given: Any = options
        kept = self._journals.get(source) or self._journal(given) or MemoryCheckpointer()
        more: dict[str, Any] = {"feedback": self.feedback, **given}
        more.pop("checkpoint_dir", None)

        async def begin(flow: Workflow, **others: Any) -> Any:
            return await flow.resume(source, **{**more, **others})

        return await self._lived(work, source, begin, given, kept)

    def run_sync(
        self, work: Workflow | Callable[[], Workflow], start_node: Any = None, **options: Unpack[RunOptions]
    ) -> Any:
        """Do the same as `run` from plain code, on a fresh loop in virtual time."""
        return simulate(lambda: self.run(work, start_node, **options), seed=self.seed)

    def answers(
        self, script: Mapping[Matcher, Any] | None = None, handler: Callable[[FeedbackRequest], Any] | None = None
    ) -> ScriptedPeople:
        """Make people for `feedback=` who answer by a script; the test fails if an entry is never asked for."""
        people = ScriptedPeople(script, handler)
        self._scripts.append(people)
        return people

    # -- lives ------------------------------------------------------------------------------------------------

    def _journal(self, options: Mapping[str, Any]) -> Checkpointer | None:
        """Give where a run is to be recorded; None if it is not."""
        directory = options.get("checkpoint_dir")
        if options.get("checkpointer") is not None:
            return options["checkpointer"]
        if directory is not None:
            number = f"{len(self._outcomes) + 1}"
            return FileCheckpointer(Path(directory) / f"seed-{self.seed}-crash-{self.crash_after}-{number}")
        return MemoryCheckpointer(keep_code=True) if self.is_journaled else None

    def _listeners(self, options: Mapping[str, Any]) -> list[Any]:
        return [*(options.get("listeners") or ()), self.events]

    async def _lived(
        self, work: Any, run_id: str, begin: Callable[..., Any], options: Mapping[str, Any], kept: Checkpointer
    ) -> Any:
        """Begin, and go on after the death; then see whether the end is the right one."""
        mortal = MortalCheckpointer(kept, self._born)
        watched: dict[str, Any] = {"checkpointer": mortal, "listeners": self._listeners(options)}
        later: dict[str, Any] = {
            "feedback": self.feedback,
            **{name: options[name] for name in options if name not in _ONCE},
        }
        place = len(self._outcomes)
        self._outcomes.append(Outcome(None, None))
        life = self._lives
        try:
            outcome = await _end_of(begin(_made(work), **watched))
            if life != self._lives:
                outcome = await _end_of(_made(work).resume(run_id, **{**later, **watched}))
        finally:
            if options.get("checkpointer") is None:
                await kept.aclose()
        self._outcomes[place] = outcome
        self._expect(place, outcome)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    async def _recorded(self, call: Any) -> Any:
        """Note how a run without a journal ends."""
        place = len(self._outcomes)
        self._outcomes.append(Outcome(None, None))
        value = await call
        self._outcomes[place] = Outcome(value, None)
        return value

    def _born(self) -> Callable[[int], bool]:
        """Begin the life of a log: give what says whether a fact is still kept."""
        life = self._lives

        def is_kept(kind: int) -> bool:
            del kind
            if life != self._lives:
                return False
            if self.crash_after is not None and not self._lives and self.commits >= self.crash_after:
                self._lives += 1  # the whole process dies: every other run of this life, too
                return False
            self.commits += 1
            return True

        return is_kept

    def _expect(self, place: int, outcome: Outcome) -> None:
        """Compare the end of a run with that of the undisturbed one.

        Raises:
            CrashSafetyError: they differ.
        """
        wanted = self._wanted
        if wanted is None or not self.has_crashed or not self.compares or place >= len(wanted.outcomes):
            return
        if outcome.is_like(wanted.outcomes[place]):
            return
        again = ", ".join(f"{name!r} ({number} times)" for name, number in self.repeated.items()) or "none"
        raise CrashSafetyError(
            f"undisturbed the run {wanted.outcomes[place]}; after a death behind commit {self.crash_after} of "
            f"{wanted.commits} it {outcome}; bodies that ran again: {again}; this happened:\n{self.events.story()}"
        ) from outcome.error


async def _end_of(call: Awaitable[Any]) -> Outcome:
    """Wait for a run to end, however it does."""
    try:
        return Outcome(await call, None)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is compared and raised again
        return Outcome(None, error)


def _made(work: Any) -> Workflow:
    """Give the workflow of a new life.

    Raises:
        TypeError: it is neither a workflow nor a function that gives one.
    """
    flow = work if isinstance(work, Workflow) or not callable(work) else work()
    if not isinstance(flow, Workflow):
        raise TypeError(f"run takes a workflow, or a function that makes one; not {work!r}")
    return flow
