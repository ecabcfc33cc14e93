"""Names: where the ids of tasks and groups come from, and what happens when two tasks want the same one."""

from __future__ import annotations

from graflow_async import DuplicateTaskError, Task, Workflow, parallel, task, workflow


@task
def double(x: int) -> int:
    """Take its id from the function."""
    return 2 * x


@task(id="say-it")
def show(total: int) -> str:
    """Have an id that was chosen."""
    return f"the total is {total}"


def name_tasks() -> None:
    """Use one function several times: bound tasks are counted, or named with `task_id`."""
    print("from the function:", double.id)
    print("chosen:", show.id)
    wf = Workflow("instances", parallel(double(1), double(2), double(21, task_id="answer")))
    print("instances:", wf.execute())


def name_groups() -> None:
    """Name a group: its id is the key of its result, and the parameter that takes it."""

    @task
    def total(doubles: dict[str, int]) -> int:
        return sum(doubles.values())

    doubles = (double(3, task_id="three") | double(4, task_id="four")).set_group_name("doubles")
    wf = Workflow("named_group", doubles >> total >> show)
    print("nodes:", wf.graph.nodes)
    print("value:", wf.execute())

    unnamed = Workflow("unnamed_group", Task("a") | Task("b"))
    print("unnamed group:", unnamed.graph.nodes[0])


def clash() -> None:
    """Define two tasks with one id: refused where the second is defined, naming both places."""
    try:
        with workflow("clash"):

            @task(id="load")
            def _load_file() -> str:
                return "file"

            @task(id="load")
            def _load_page() -> str:
                return "page"

    except DuplicateTaskError as error:
        print(f"{type(error).__name__}: {error.task_id!r} is taken")


def main() -> None:
    """Show tasks, groups and a clash."""
    name_tasks()
    name_groups()
    clash()


if __name__ == "__main__":
    main()
