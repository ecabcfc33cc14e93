"""Tasks from lambdas and closures: anything that can be called can be a task, and it may remember values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graflow_async import Event, Task, TaskCompleted, TaskWrapper, task, workflow

if TYPE_CHECKING:
    from collections.abc import Callable


def create_multiplier(factor: int) -> Task[[int], int]:
    """Make a task whose function remembers `factor`."""

    @task(id=f"multiply_by_{factor}")
    def multiply(x: int) -> int:
        return x * factor

    return multiply


def create_pipeline_step(name: str, *functions: Callable[[int], int]) -> TaskWrapper[[int], int]:
    """Make a task that remembers several functions and applies one after the other."""

    def apply(x: int) -> int:
        for function in functions:
            x = function(x)
        return x

    return TaskWrapper(name, apply)


def report(event: Event) -> None:
    """Listen to a run: print each task that is done."""
    if isinstance(event, TaskCompleted):
        print(f"✅ {event.task_id} executed -> {event.value}")


def main() -> None:
    """Make the tasks, chain them, run them."""
    print("=== Lambda and Closure Tasks ===\n")

    print("Step 1: Creating tasks from lambdas and closures")
    answer: TaskWrapper[[], int] = TaskWrapper("lambda_task", lambda: 42)
    print("✅ Lambda task created")
    double = create_pipeline_step("double_task", lambda x: x + x)
    print("✅ Closure task created")
    multiply_by_10 = create_multiplier(10)
    print("✅ Complex closure task created")

    print("\nStep 2: Building workflow")
    with workflow("lambdas") as wf:
        answer >> double >> multiply_by_10
    print("✅ Task graph built")

    print("\nStep 3: Executing workflow")
    print("⏳ Executing tasks...")
    wf.execute(listeners=[report])


if __name__ == "__main__":
    main()
