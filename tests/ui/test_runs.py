"""A run that waits for a person and one that waits for an event, both served over HTTP."""

from __future__ import annotations

from typing import Any

from graflow_async import Workflow, task
from graflow_async.brokers.memory import MemoryBroker
from tests.ui.aids import AUTHORISED, connect, operated


async def test_a_run_goes_on_with_what_came_over_http(broker: MemoryBroker) -> None:
    """A task asks, another waits for an event; what is posted to the API is what they get."""

    @task(inject_context=True)
    async def ask(ctx: Any) -> Any:
        answer = await ctx.request_feedback("selection", prompt="Which?", options=["red", "blue"], request_id="color")
        return answer.value, answer.responded_by

    @task(inject_context=True)
    async def wait(ctx: Any) -> Any:
        return await ctx.wait_for_event("paid")

    workflow = Workflow("shop", ask >> wait)
    async with connect(operated(broker), headers=AUTHORISED) as client, broker.watch() as changes:
        async with workflow.start(feedback=broker) as run:
            change = await anext(aiter(changes))
            assert change.record is not None
            path = f"/api/questions/{change.record.request.id}"
            shown = (await client.get(path)).json()
            assert (shown["request_id"], shown["workflow"], shown["task_id"]) == ("color", "shop", "ask")
            assert (await client.post(f"{path}/answer", json={"selected": "pink"})).status_code == 422
            assert (await client.post(f"{path}/answer", json={"selected": "blue"})).status_code == 200
            sent = await client.post(f"/api/runs/{run.run_id}/events/paid", json={"payload": {"amount": 5}})
            assert sent.status_code == 204
            assert await run == {"amount": 5}
        assert run.results["ask"] == ("blue", "operator")
