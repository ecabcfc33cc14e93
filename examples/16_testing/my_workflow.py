"""A refund in four steps, with a person, a pause and a payment: what test_my_workflow.py tests."""

from __future__ import annotations

from graflow_async import RetryPolicy, Task, TaskExecutionContext, Workflow

DAY = 86_400.0


class Bank:
    """The payment service: it may be down, and it pays once for each key."""

    def __init__(self, failures: int = 0) -> None:
        """Begin without payments; the first `failures` calls fail."""
        self.payments: dict[str, int] = {}
        self.failures = failures

    async def pay(self, key: str, amount: int) -> None:
        """Pay, unless that was done before under the same key."""
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the bank is closed")
        self.payments.setdefault(key, amount)


def refunds(bank: Bank, amount: int) -> Workflow:
    """Draw the workflow: look the order up, ask if it is much, wait for the goods, pay."""

    async def look_up(ctx: TaskExecutionContext) -> int:
        await ctx.channel.atomic_add("looked up")
        return amount

    async def approve(ctx: TaskExecutionContext, look_up: int) -> bool:
        if look_up < 100:
            return True
        return await ctx.request_approval(f"Refund {look_up} euros?", timeout=7 * DAY)

    async def wait_for_goods(ctx: TaskExecutionContext, *, approve: bool) -> bool:
        if not approve:
            ctx.terminate_workflow("refused", result="refused")
        else:
            await ctx.sleep(3 * DAY)
        return approve

    async def pay(ctx: TaskExecutionContext) -> str:
        await bank.pay(ctx.idempotency_key, await ctx.get_result("look_up"))
        return f"paid, after {await ctx.channel.get('looked up')} look"

    patient = RetryPolicy(max_retries=3, initial_interval=3600.0, max_interval=DAY)
    return Workflow(
        "refunds",
        Task("look_up", look_up)
        >> Task("approve", approve)
        >> Task("wait_for_goods", wait_for_goods)
        >> Task("pay", pay, retry_policy=patient),
    )
