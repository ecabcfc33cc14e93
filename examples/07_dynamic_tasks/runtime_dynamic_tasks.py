"""Tasks made while the workflow runs: `next_task` adds or jumps, `next_iteration` runs a task again."""

from __future__ import annotations

import asyncio
import json

from graflow_async import SyncTaskExecutionContext, TaskExecutionContext, TaskWrapper, parallel, task, workflow

SCORES = range(20)  # sorted; a score of 10 or more means yes
CORRUPT, HEALTHY = '{"orders": 12', '{"orders": 12}'


def conditional_creation(value: int) -> None:
    """Choose the next task by looking at the data."""
    with workflow("conditional") as wf:

        @task(inject_context=True)
        def classify(context: SyncTaskExecutionContext, value: int) -> None:
            print(f"Processing data: value={value}")

            def process_high() -> None:
                print(f"High-value processing: {value} → {value * 2}")

            def process_low() -> None:
                print(f"Low-value processing: {value} → {value + 10}")

            if value > 100:
                print("✅ Value > 100, creating high-value task")
                context.next_task(TaskWrapper("high_value", process_high))
            else:
                print("✅ Value <= 100, creating low-value task")
                context.next_task(TaskWrapper("low_value", process_low))

    wf.execute(inputs={"value": value})


def iterative_processing() -> None:
    """Train until it is good enough: each turn hands its threshold to the next one."""
    with workflow("training") as wf:

        @task(inject_context=True)
        def train(context: SyncTaskExecutionContext, threshold: int = 0) -> None:
            right = sum((score >= threshold) == (score >= 10) for score in SCORES)
            accuracy = right / len(SCORES)
            print(f"Iteration {context.cycle_count - 1}: accuracy={accuracy:.2f}")

            def save_model() -> None:
                print(f"Model saved: threshold={threshold}, accuracy={accuracy:.2f}")

            if accuracy >= 0.8:
                print("✅ Converged! Saving final model")
                context.next_task(TaskWrapper("save_model", save_model))
            else:
                context.next_iteration(threshold + 3)

    wf.execute(max_steps=20)


async def fan_out_and_in(numbers: list[int], size: int) -> None:
    """Add as many workers as the data needs, and one task behind all of them; in async tasks this reads the same."""
    with workflow("fan") as wf:

        @task(inject_context=True)
        async def distribute(context: TaskExecutionContext, numbers: list[int]) -> None:
            chunks = [numbers[start : start + size] for start in range(0, len(numbers), size)]
            print(f"Fan-out: {len(numbers)} numbers in {len(chunks)} chunks")

            @task
            def square_sum(chunk: list[int]) -> int:
                return sum(number * number for number in chunk)

            @task
            def integrate(workers: dict[str, int]) -> None:
                for worker, result in workers.items():
                    print(f"   {worker}: {result}")
                print(f"✅ Fan-in: {sum(workers.values())}")

            workers = parallel(*(square_sum(chunk) for chunk in chunks)).set_group_name("workers")
            context.next_task(workers >> integrate)

    await wf.run(inputs={"numbers": numbers})


def error_recovery(title: str, documents: list[str], max_retries: int) -> None:
    """Try again after an error with what is there by then, and jump to a recovery task when that does not help."""
    print(title)
    with workflow("recovery") as wf:

        @task(inject_context=True)
        def fetch(context: SyncTaskExecutionContext, attempt: int = 1) -> None:
            document = documents[min(attempt, len(documents)) - 1]
            try:
                orders = json.loads(document)["orders"]
            except json.JSONDecodeError as error:
                print(f"❌ Attempt {attempt} failed: {error.msg} at column {error.colno}")
                if attempt <= max_retries:
                    context.next_iteration(attempt + 1)
                else:
                    context.next_task(recover, goto=True)
                return
            print(f"✅ Attempt {attempt} succeeded: {orders} orders")

        @task
        def store() -> None:
            print("Stored")

        @task
        def recover() -> None:
            print("Retries used up: keeping yesterday's orders")

        fetch >> store

    wf.execute()


def state_machine() -> None:
    """Keep the state in the channel and let each turn decide what the next one does."""
    with workflow("machine") as wf:

        @task(inject_context=True)
        def step(context: SyncTaskExecutionContext) -> None:
            channel = context.get_channel()
            state, data = channel.get("state", "START"), channel.get("data", 0)
            print(f"Current state: {state} (data={data})")
            if state == "START":
                print("→ Transitioning to PROCESSING")
                channel.set("state", "PROCESSING")
                context.next_iteration()
            elif data < 2:
                print("→ Staying in PROCESSING")
                channel.atomic_add("data")
                context.next_iteration()
            else:
                print("→ Transitioning to END")
                channel.set("state", "END")
                context.next_task(finish)

        @task
        def finish(context: SyncTaskExecutionContext) -> None:
            print(f"✅ Final state: {context.get_channel().get('state')}")

    wf.execute(step, max_steps=100)


def main() -> None:
    """Run the scenarios."""
    print("=== Runtime Dynamic Task Generation ===")
    print("\n=== Scenario 1: Conditional Task Creation ===")
    conditional_creation(150)
    conditional_creation(50)
    print("\n=== Scenario 2: Iterative Processing ===")
    iterative_processing()
    print("\n=== Scenario 3: Fan-Out and Fan-In ===")
    asyncio.run(fan_out_and_in(list(range(1, 11)), size=4))
    print("\n=== Scenario 4: Error Recovery ===")
    error_recovery("A document that is complete at the third attempt:", [CORRUPT, CORRUPT, HEALTHY], max_retries=2)
    error_recovery("A document that stays corrupt:", [CORRUPT], max_retries=2)
    print("\n=== Scenario 5: State Machine ===")
    state_machine()


if __name__ == "__main__":
    main()
