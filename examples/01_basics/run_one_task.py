"""One task without a drawing: calling it binds arguments, awaiting it runs it."""

from __future__ import annotations

import asyncio

from graflow_async import BindingError, Workflow, task


@task
def area(width: int, height: int) -> int:
    """Multiply the sides of a rectangle."""
    return width * height


def show_binding() -> None:
    """Call a task: nothing runs, the result is a task with arguments."""
    desk = area(160, 80)
    print("bound:", desk)
    print("executed:", Workflow("desk", desk).execute())
    print("the plain function:", area.func(3, 4))
    try:
        area(160, depth=80)
    except BindingError:
        print("a wrong name is refused at the call")


async def main() -> None:
    """Await tasks in the ways that asyncio code likes."""
    print("run with inputs:", await area.run(width=3, height=4))
    print("awaited:", await area(2, 5))
    print("gathered:", await asyncio.gather(area(1, 2), area(3, 4)))
    print("mapped:", await area.map([1, 2, 3], [4, 5, 6]))
    print("mapped with one side fixed:", await area.map([1, 2, 3], height=10))


if __name__ == "__main__":
    show_binding()
    asyncio.run(main())
