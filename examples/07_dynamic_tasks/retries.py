"""Retries: a policy with growing waits, an error that is not worth one, and a way out when none helps."""

from __future__ import annotations

import asyncio

from graflow_async import RetryPolicy, SyncTaskExecutionContext, TaskExecutionContext, Workflow, task, workflow

PATIENT = RetryPolicy(max_retries=3, initial_interval=0.01, backoff_factor=2.0, retry_on=ConnectionError)


class Server:
    """A small server on this machine that hangs up on its first callers."""

    def __init__(self, refusals: int) -> None:
        """Decide how many callers get no answer."""
        self.refusals = refusals

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a question, or close the connection without a word."""
        question = await reader.readline()
        if self.refusals:
            self.refusals -= 1
        else:
            writer.write(question.upper())
        writer.close()
        await writer.wait_closed()


@task(retry_policy=PATIENT)
async def ask(ctx: TaskExecutionContext, port: int, question: str) -> str:
    """Ask the server; the wait before the next attempt blocks nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(question.encode() + b"\n")
    reply = (await reader.readline()).decode().strip()
    writer.close()
    await writer.wait_closed()
    print(f"attempt {ctx.attempt}: {reply or 'no answer'}")
    if not reply:
        message = "the server hung up"
        raise ConnectionError(message)
    return reply


async def ask_server(refusals: int) -> None:
    """Run the asking task against a server."""
    server = await asyncio.start_server(Server(refusals).answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        try:
            print("reply:", await ask.run(port=port, question="anyone there?"))
        except ConnectionError as error:  # the task's own exception, with notes on what was tried
            print("given up:", error)


@task(retry_policy=PATIENT)
def parse(ctx: SyncTaskExecutionContext, text: str) -> int:
    """Fail for a reason that another attempt does not change: `retry_on` does not name it."""
    print(f"attempt {ctx.attempt}: parsing {text!r}")
    return int(text)


def fall_back() -> None:
    """Catch the last attempt in the task and jump to another one instead of failing the run."""
    with workflow("fallback") as wf:

        @task(max_retries=2)
        def read_setting(ctx: SyncTaskExecutionContext, settings: dict[str, str]) -> str:
            try:
                return settings["colour"]
            except KeyError:
                if ctx.retry_count < 2:
                    raise
                ctx.next_task(use_default, goto=True)
                return "nothing"

        @task
        def paint(read_setting: str) -> str:
            return f"painted {read_setting}"

        @task
        def use_default() -> str:
            return "left as it was"

        read_setting >> paint

    print("with a setting:", wf.execute(inputs={"settings": {"colour": "green"}}))
    print("without:", wf.execute(inputs={"settings": {}}))


def main() -> None:
    """Run the cases."""
    asyncio.run(ask_server(refusals=2))
    asyncio.run(ask_server(refusals=10))
    try:
        Workflow("parse", parse).execute(inputs={"text": "twelve"})
    except ValueError:
        print("not retried")
    fall_back()


if __name__ == "__main__":
    main()
