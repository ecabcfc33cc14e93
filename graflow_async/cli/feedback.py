"""`graflow-async feedback`: the questions of recorded runs, listed, shown, watched and answered; events for runs."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import typer

from ..broker import Change
from ..feedback import FeedbackRecord, FeedbackState, FeedbackType
from ..feedback_errors import InvalidAnswerError, UnknownRequestError
from ..inbox import Inbox
from .asking import ask, can_ask, check_open, fitted, given_answer, json_of
from .completion import questions, run_ids
from .failures import DONE, UsageError, guarded, resume_command, spelled
from .options import RECORDED_IN, Debug, check_group
from .output import as_json
from .place import RUNS_ON, at_inbox, check_exists, status_of
from .questions import as_data, change_as_data, details, line_of, print_questions

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Place = Annotated[
    str,
    typer.Option(
        "--checkpoint-dir", "--dir", metavar="DIR|URL", help="The directory, or Redis, in which runs are recorded."
    ),
]
Question = Annotated[
    str,
    typer.Argument(
        metavar="ID_OR_NAME",
        help="The id of a question, or its name.",
        show_default=False,
        autocompletion=questions,
    ),
]
OfRun = Annotated[str | None, typer.Option("--run", metavar="RUN", help="Of this run; a name may stand in several.")]
Assignee = Annotated[str | None, typer.Option(metavar="NAME", help="Only what is for this person.")]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why.")]
_HINTS = {
    FeedbackType.APPROVAL: "answer with --approve or --reject",
    FeedbackType.TEXT: "answer with --text",
    FeedbackType.SELECTION: "answer with --select",
    FeedbackType.MULTI_SELECTION: "answer with --select, once for each option",
    FeedbackType.CUSTOM: "answer with --value",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(
        help="See and answer the questions of recorded runs, and send events to runs.",
        epilog="Example: graflow-async feedback answer approval --approve",
    )
    commands.callback(invoke_without_command=True)(feedback)
    for name, command, example in (
        ("list", list_questions, "--json"),
        ("show", show, "approval"),
        ("answer", answer, "approval --approve --reason 'looks good'"),
        ("cancel", cancel, "approval --reason 'no longer needed'"),
        ("send", send, """RUN paid '{"order": 7}'"""),
        ("watch", watch, "--assignee ada"),
    ):
        commands.command(name, epilog=f"Example: graflow-async feedback {name} {example}")(command)
    app.add_typer(commands, name="feedback")


def feedback(
    context: typer.Context, *, checkpoint_dir: Place = RECORDED_IN, json: Json = False, debug: Debug = False
) -> int:
    """See and answer the questions of recorded runs, and send events to runs."""
    if context.invoked_subcommand is None:
        return list_questions(checkpoint_dir=checkpoint_dir, json=json, debug=debug)
    check_group(context)
    return DONE


def list_questions(
    *,
    checkpoint_dir: Place = RECORDED_IN,
    run: OfRun = None,
    every: Annotated[bool, typer.Option("--all", help="Show settled questions, too.")] = False,
    assignee: Assignee = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """List open questions, the oldest first."""

    def body() -> int:
        state = None if every else FeedbackState.PENDING
        found = at_inbox(checkpoint_dir, lambda inbox: inbox.broker.find(run_id=run, state=state))
        found = [record for record in found if assignee in (None, record.request.assignee)]
        if json:
            print(as_json([as_data(record) for record in found]), flush=True)
        elif found:
            print_questions(found)
        else:
            print(spelled(f"no questions are {'recorded' if every else 'open'} in {checkpoint_dir}"), flush=True)
        return DONE

    return guarded(body, debug=debug)


def show(
    question: Question,
    *,
    checkpoint_dir: Place = RECORDED_IN,
    run: OfRun = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Show a question, and what has become of it."""

    def body() -> int:
        record = at_inbox(checkpoint_dir, lambda inbox: inbox.get(question, run))
        print(as_json(as_data(record)) if json else "\n".join(details(record)), flush=True)
        return DONE

    return guarded(body, debug=debug)


def answer(
    question: Question,
    *,
    checkpoint_dir: Place = RECORDED_IN,
    run: OfRun = None,
    approve: Annotated[bool, typer.Option("--approve", help="Approve.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Do not approve.")] = False,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="Answer with a text.")] = None,
    select: Annotated[list[str] | None, typer.Option(metavar="OPTION", help="Choose; may be repeated.")] = None,
    value: Annotated[str | None, typer.Option(metavar="JSON", help="Answer a question of any type.")] = None,
    reason: Reason = None,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who answers; the user of this process if nobody is named.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="What `show` said, to be refused if it has changed since.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Answer a question: with an option, or without one at a terminal, where it is shown and asked. The first counts.

    With --run a question may be answered before it is asked. Ctrl-C at the terminal leaves it open.
    """

    def body() -> int:
        given = given_answer(approve=approve, reject=reject, text=text, select=select, value=value)
        _check_texts(question, run, text, reason, by, *(select or ()))
        check_exists(checkpoint_dir)
        if not given and not can_ask():
            raise UsageError("there is no terminal to ask at: add --approve, --reject, --text, --select or --value")
        record = at_inbox(
            checkpoint_dir, lambda inbox: _known(inbox, question, run, is_needed=run is None or not given)
        )
        seen = revision
        if record is not None and not given:
            check_open(record)
            given, seen = ask(record.request), revision or record.request.revision
        arguments: dict[str, Any] = {"reason": reason, "responded_by": by or _user(), "revision": seen, "run_id": run}
        arguments |= fitted(given, record)
        address = question if record is None else record.request.id
        try:
            answered = at_inbox(checkpoint_dir, lambda inbox: inbox.respond(address, **arguments))
        except InvalidAnswerError as error:
            hint = "" if record is None else f" ({_HINTS[record.request.feedback_type]})"
            raise UsageError(f"{error}{hint}") from error
        _report(checkpoint_dir, question, run, answered, json=json)
        return DONE

    return guarded(body, debug=debug)


def cancel(
    question: Question,
    *,
    checkpoint_dir: Place = RECORDED_IN,
    run: OfRun = None,
    reason: Reason = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Withdraw a question: the task that waits for the answer is told."""

    def body() -> int:
        _check_texts(question, run, reason)
        record = at_inbox(checkpoint_dir, lambda inbox: inbox.cancel(question, run_id=run, reason=reason))
        if json:
            print(as_json(as_data(record)), flush=True)
        else:
            print(spelled(f"cancelled {record.request.request_id!r} of run {record.request.run_id}"), flush=True)
        return DONE

    return guarded(body, debug=debug)


def send(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The id of the run.", show_default=False, autocompletion=run_ids)
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the event.", show_default=False)],
    payload: Annotated[
        str | None, typer.Argument(metavar="JSON", help="What the event carries.", show_default=False)
    ] = None,
    *,
    checkpoint_dir: Place = RECORDED_IN,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Send an event to a run, for `ctx.wait_for_event(NAME)`; it is kept until the run takes it."""

    def body() -> int:
        carried = None if payload is None else json_of(payload, "the event")
        _check_texts(run, name, payload)
        check_exists(checkpoint_dir)
        at_inbox(checkpoint_dir, lambda inbox: inbox.send(run, name, carried))
        resume = None if status_of(checkpoint_dir, run) in (*RUNS_ON, "") else resume_command(run, checkpoint_dir)
        if json:
            print(as_json({"run_id": run, "name": name, "payload": carried, "resume": resume}), flush=True)
        else:
            more = f"; the run does not go on by itself: {resume}" if resume else ""
            print(spelled(f"sent {name!r} to run {run}{more}"), flush=True)
        return DONE

    return guarded(body, debug=debug)


def watch(
    *,
    checkpoint_dir: Place = RECORDED_IN,
    run: OfRun = None,
    assignee: Assignee = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object in each line.")] = False,
    debug: Debug = False,
) -> int:
    """List open questions, then what happens to questions and which events are sent, until Ctrl-C."""

    def body() -> int:
        check_exists(checkpoint_dir)
        with suppress(KeyboardInterrupt):  # the way to end it
            at_inbox(checkpoint_dir, partial(_follow, run=run, assignee=assignee, json=json))
        return DONE

    return guarded(body, debug=debug)


async def _known(inbox: Inbox, question: str, run: str | None, *, is_needed: bool) -> FeedbackRecord | None:
    """Find a question; None if it was not asked yet and need not be.

    Raises:
        UnknownRequestError: it is needed and not there.
    """
    try:
        return await inbox.get(question, run)
    except UnknownRequestError:
        if is_needed:
            raise
        return None


async def _follow(inbox: Inbox, *, run: str | None, assignee: str | None, json: bool) -> None:
    """Print open questions, then what changes; without end."""

    def put(change: Change) -> None:
        print(as_json(change_as_data(change)) if json else line_of(change), flush=True)

    async with inbox.watch(run) as changes:
        listed = {record.request.id: record for record in await inbox.pending(run, assignee)}
        for record in listed.values():
            put(Change(record.request.run_id, record))
        async for change in changes:
            record = change.record
            if record is None:
                if assignee is None:
                    put(change)
            elif assignee in (None, record.request.assignee) and listed.pop(record.request.id, None) != record:
                put(change)


def _report(directory: str, question: str, run: str | None, answered: FeedbackRecord | None, *, json: bool) -> None:
    """Say what has become of an answer, and what the run needs to go on."""
    resume = None
    if answered is None:
        outcome, line = "early", f"kept until run {run} asks {question!r}"
    else:
        name, run_id = answered.request.request_id, answered.request.run_id
        status = status_of(directory, run_id)
        is_late = answered.state is FeedbackState.EXPIRED
        if status not in RUNS_ON and (is_late or status):
            resume = resume_command(run_id, directory)
        outcome, line = "answered", f"answered {name!r} of run {run_id}"
        if is_late:
            outcome, line = "kept", "kept, as the time for an answer is up"
            if resume is None:
                line += f"; run {run_id} is {status} and takes it if it asks again"
        if resume is not None:
            line += f"; resume with: {resume}"
    if json:
        record = None if answered is None else as_data(answered)
        print(as_json({"outcome": outcome, "resume": resume, "record": record}), flush=True)
    else:
        print(spelled(line), flush=True)


def _check_texts(*texts: str | None) -> None:
    """Refuse bytes that are no text.

    Raises:
        UsageError: there are some.
    """
    for text in texts:
        try:
            (text or "").encode()
        except UnicodeEncodeError:
            raise UsageError(f"{text!r} is no UTF-8") from None


def _user() -> str:
    """Name the user of this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
