"""Fan-out and fan-in, decided by the data: by awaiting children, by a mapped node, and as they are done."""

from __future__ import annotations

import asyncio

from graflow_async import TaskExecutionContext, Workflow, task


@task
def primes_between(low: int, high: int) -> int:
    """Count primes by trial division: work for a thread."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(low, 2), high))


@task
async def count_primes(ctx: TaskExecutionContext, limit: int, parts: int) -> int:
    """Map a task over two lists and go on with the results, which keep their order."""
    bounds = [limit * part // parts for part in range(parts + 1)]
    counts = await ctx.map(primes_between, bounds[:-1], bounds[1:], max_concurrency=4)
    print(f"primes in {parts} parts: {counts}")
    return sum(counts)


@task
def divisors() -> list[int]:
    """Decide at run time over what the next task maps."""
    return [n for n in range(1, 29) if 28 % n == 0]


@task
def reciprocal(n: int) -> float:
    """Treat one element."""
    return 1 / n


@task
def add_up(parts: list[float]) -> float:
    """Get the list of all results."""
    return sum(parts)


@task
async def first_large(ctx: TaskExecutionContext, limit: int) -> str:
    """Start children, take them as they end, and cancel the rest once the answer is there."""

    @task
    async def power(base: int) -> int:
        value = base
        while value < limit:
            value *= base
            await asyncio.sleep(0)  # let the others have a turn
        return base

    handles = [ctx.submit(power, base) for base in (2, 3, 1_000_000)]
    async for handle in ctx.as_completed(handles):
        winner = await handle
        for other in handles:
            other.cancel()
        return f"powers of {winner} were there first"
    return "nobody was"


async def main() -> None:
    """Run the three ways."""
    print("primes below 2000:", await count_primes.run(limit=2000, parts=4))
    mapped = Workflow("mapped", divisors >> reciprocal.map().with_execution(max_concurrency=3) >> add_up)
    print("reciprocals of the divisors of 28:", await mapped.run())
    print(await first_large.run(limit=10**300))


if __name__ == "__main__":
    asyncio.run(main())
