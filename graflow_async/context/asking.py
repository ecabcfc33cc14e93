"""The verbs of async tasks that wait for people, and for events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._lazy import lazily
from .._runtime.paths import path_of
from ..channel import Channel
from ..errors import ConfigError
from ..policy import require_number
from .plain import PlainContext

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from ..drafts import Draft
    from ..feedback import FeedbackResponse, FeedbackType

answers = lazily("graflow_async.answers")
dataclasses = lazily("dataclasses")  # slow to import
drafts = lazily("graflow_async.drafts")
feedback = lazily("graflow_async.feedback")  # for its types
faults = lazily("graflow_async.feedback_errors")
RESPONSE = ".__feedback_response__"


class AskingContext(PlainContext):
    """Asks people, and waits for events; whoever waits holds no slot and no thread."""

    _asked: dict[Any, int] | None = None

    @property
    def channel(self) -> Channel:
        """The channel that all tasks of the run share."""
        raise NotImplementedError

    def request_feedback(
        self,
        feedback_type: FeedbackType | str,
        prompt: str | None = None,
        *,
        message: str | None = None,
        options: Sequence[str] | None = None,
        schema: Any = None,
        timeout: float | None = None,
        default: Any = None,
        channel_key: str | None = None,
        request_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        assignee: str | None = None,
    ) -> Coroutine[Any, Any, FeedbackResponse]:
        """Ask a person and wait for the answer.

        Args:
            feedback_type: "approval", "text", "selection", "multi_selection" or "custom".
            prompt: the text to show.
            message: the same, under another name.
            options: what can be chosen, for selections.
            schema: what a custom answer has to be: a JSON schema, or a model (pydantic, dataclass, TypedDict), of which
                the answer is then an object.
            timeout: seconds to wait; without one the question stays open as long as the run does.
            default: the answer if nobody gives one in time.
            channel_key: where in the channel the answer stands before the task goes on; the whole response stands under
                the key with `.__feedback_response__` behind it.
            request_id: the question's name, unique in the run: a task that starts over finds its answer again.
            metadata: more to show, as JSON.
            assignee: whom it is for.

        Raises:
            FeedbackTimeoutError: nobody answered in time. Uncaught, in a run with a journal, it pauses the run.
            FeedbackCancelledError: somebody withdrew the question.
            DuplicateRequestError: another task of the run has asked under that name.
            ConfigError: the question makes no sense.
        """
        return self._ask(
            drafts.draft_of(
                feedback_type,
                prompt,
                message=message,
                options=options,
                schema=schema,
                timeout=timeout,
                default=default,
                channel_key=channel_key,
                request_id=request_id,
                metadata=metadata,
                assignee=assignee,
            )
        )

    def request_approval(self, prompt: str | None = None, **more: Any) -> Coroutine[Any, Any, bool]:
        """Ask for a yes or a no; keywords and exceptions are those of `request_feedback`."""
        return self._ask(drafts.draft_of("approval", prompt, **more), "value")

    def request_text_input(self, prompt: str | None = None, **more: Any) -> Coroutine[Any, Any, str]:
        """Ask for a text; keywords and exceptions are those of `request_feedback`."""
        return self._ask(drafts.draft_of("text", prompt, **more), "value")

    def request_selection(
        self, prompt: str | None = None, options: Sequence[str] | None = None, **more: Any
    ) -> Coroutine[Any, Any, str]:
        """Ask for one of some options; keywords and exceptions are those of `request_feedback`."""
        return self._ask(drafts.draft_of("selection", prompt, options=options, **more), "value")

    def request_multi_selection(
        self, prompt: str | None = None, options: Sequence[str] | None = None, **more: Any
    ) -> Coroutine[Any, Any, list[str]]:
        """Ask for any of some options; keywords and exceptions are those of `request_feedback`."""
        return self._ask(drafts.draft_of("multi_selection", prompt, options=options, **more), "value")

    def wait_for_event(self, name: str, timeout: float | None = None) -> Coroutine[Any, Any, Any]:
        """Wait until `run.send(name, payload)` sends an event, and give its payload.

        An event goes to everybody who waits for it at that moment; if nobody does it is kept for who waits next.

        Args:
            name: of the event.
            timeout: seconds to wait.

        Raises:
            FeedbackTimeoutError: it did not come in time. Uncaught, in a run with a journal, it pauses the run.
            ConfigError: an argument makes no sense.
        """
        check_event(name, timeout)
        return self._expect(name, timeout, self._place("event", name))

    def _ask(self, draft: Draft, part: str | None = None) -> Coroutine[Any, Any, Any]:
        """Ask, and give the response or a part of it.

        A question without a name is found again by what it says, so that no answer goes to another question.
        """
        request = draft.request
        slot = request.request_id or self._place("question", request.prompt, request.options)
        return self._answer(draft, slot, part)

    def _place(self, *what: Any) -> tuple[Any, ...]:
        """Number what a body asks for, in the order in which it does, whatever is awaited first."""
        asked = self._asked
        if asked is None:
            asked = self._asked = {}
        number = asked[what] = asked.get(what, 0) + 1
        return (*what, number)

    # The coroutines below await the future themselves: thousands of them may be open, and each frame costs memory.

    async def _answer(self, draft: Draft, slot: Any, part: str | None) -> Any:
        """Ask, and give the response or a part of it."""
        desk, instance, scheduler = self._link.desk, self._instance, self._link.scheduler
        self.refuse_late("ask")
        anew = False
        while True:
            question = desk.ask(instance, path_of(instance), slot, draft.request, draft.timeout, anew=anew)
            asked = draft.request = question.about
            if not question.kind:
                future = desk.waiter(question)
                try:
                    await (scheduler.park(instance, future) if instance.gates else future)
                except BaseException:
                    desk.let_go(question, future)
                    raise
                question.is_told = True
            if question.kind == "cancelled":
                raise faults.FeedbackCancelledError(asked.request_id, question.value)
            if question.kind == "answered":
                response = question.value
            elif draft.default is None:
                raise faults.FeedbackTimeoutError(asked.request_id, draft.timeout, question.id)
            else:
                response = dataclasses.replace(
                    draft.default, request_id=asked.request_id, responded_at=asked.deadline, is_default=True
                )
            if draft.model is not None:
                try:
                    response = response.with_custom(answers.as_model(asked, draft.model, response.custom))
                except faults.InvalidAnswerError as error:
                    name = slot if isinstance(slot, str) else ""
                    more = {**asked.metadata, "refused": str(error)}
                    draft.request = dataclasses.replace(asked, request_id=name, metadata=more)
                    anew = True
                    continue
            if asked.channel_key is not None:
                await self.channel.set(asked.channel_key, response.value)
                await self.channel.set(asked.channel_key + RESPONSE, response)
            return response if part is None else getattr(response, part)

    async def _expect(self, topic: str, timeout: float | None, slot: Any) -> Any:
        """Wait for an event, and give what it carries."""
        desk, instance, scheduler = self._link.desk, self._instance, self._link.scheduler
        self.refuse_late(f"wait for {topic!r}")
        question = desk.expect(instance, path_of(instance), slot, topic, timeout)
        if not question.kind:
            future = desk.waiter(question)
            try:
                await (scheduler.park(instance, future) if instance.gates else future)
            except BaseException:
                desk.let_go(question, future)
                raise
            question.is_told = True
        if question.kind == "answered":
            return question.value
        raise faults.FeedbackTimeoutError(topic, timeout, question.id)


def check_event(name: Any, timeout: float | None = None) -> None:
    """Refuse the name of an event, or a timeout in seconds, that makes no sense.

    Raises:
        ConfigError: it makes none.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"an event has a name, a text that is not empty, not {name!r}")
    if timeout is not None:
        require_number("timeout", timeout, exclusive=True)
