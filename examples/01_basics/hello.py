"""A first workflow: two tasks, one edge, one call."""

from __future__ import annotations

from graflow_async import task, workflow


def main() -> None:
    """Draw `hello >> greet`, run it and print its value."""
    with workflow("hello_world") as wf:

        @task
        def hello() -> str:
            return "Hello"

        @task
        def greet(hello: str) -> str:  # the parameter is named like the task: it gets that task's result
            return f"{hello}, workflow!"

        hello >> greet

    print(wf.execute())


if __name__ == "__main__":
    main()
