"""A diamond of plain edges: both sides run at once, the join waits for both and runs once."""

from __future__ import annotations

import asyncio

from graflow_async import TaskCompleted, task, workflow


async def main() -> None:
    """Draw the diamond and show the order in which its tasks were done."""
    both_sides = asyncio.Barrier(2)

    with workflow("diamond") as wf:

        @task
        async def order() -> dict[str, int]:
            return {"apples": 3, "pears": 5}

        @task
        async def price(order: dict[str, int]) -> int:
            await both_sides.wait()  # nobody would pass here if the sides ran one after the other
            return order["apples"] * 30 + order["pears"] * 40

        @task
        async def weight(order: dict[str, int]) -> int:
            await both_sides.wait()
            return order["apples"] * 180 + order["pears"] * 160

        @task
        async def invoice(price: int, weight: int) -> str:
            return f"{price} cents for {weight} grams"

        order >> price >> invoice
        order >> weight >> invoice

    done: list[str] = []

    def note(event: object) -> None:
        if isinstance(event, TaskCompleted) and event.task_id is not None:
            done.append(event.task_id)

    print(await wf.run(listeners=[note]))
    print("first:", done[0])
    print("then, in any order:", ", ".join(sorted(done[1:3])))
    print("last:", done[3], "- tasks done:", len(done))


if __name__ == "__main__":
    asyncio.run(main())
