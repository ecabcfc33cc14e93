"""What can travel to another process: lambdas, closures and objects with state, thanks to cloudpickle."""

from __future__ import annotations

import asyncio
import pickle
import threading
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import cloudpickle

from graflow_async import NotSerializableError, Task, task

if TYPE_CHECKING:
    from collections.abc import Callable


def roundtrip(value: Any) -> Any:
    """Write an object to bytes as a travelling task is written, and read it back."""
    return pickle.loads(cloudpickle.dumps(value))


def create_multiplier(factor: int) -> Callable[[int], int]:
    """Make a closure."""

    def multiply(x: int) -> int:
        return x * factor

    return multiply


class Counter:
    """An object with state.

    Attributes:
        count: how often it was told to count.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.count = 0

    def increment(self) -> int:
        """Count one more."""
        self.count += 1
        return self.count


def create_formatter(prefix: str) -> Callable[[int], Callable[[str], str]]:
    """Make a closure that makes closures."""

    def with_width(width: int) -> Callable[[str], str]:
        def render(text: str) -> str:
            return f"{prefix}{text:>{width}}"

        return render

    return with_width


def show_functions(original: Callable[[int], int]) -> None:
    """Send a lambda and a closure through bytes."""
    print("Test 1: Serializing Lambda Functions")
    restored = roundtrip(original)
    print("✅ Lambda function serialized and deserialized")
    print(f"   Original result: {original(5)}")
    print(f"   Deserialized result: {restored(5)}")

    print("\nTest 2: Serializing Closures")
    multiply = roundtrip(create_multiplier(10))
    print("✅ Closure with captured state serialized")
    print("   Factory multiplier: 10")
    print(f"   Result: {multiply(5)}")


def show_state() -> None:
    """Send an object, a nested closure and a task through bytes."""
    print("\nTest 3: Serializing Class Instances")
    counter = Counter()
    for _ in range(3):
        counter.increment()
    copy = roundtrip(counter)
    print("✅ Class instance with state serialized")
    print(f"   Original count: {counter.count}")
    print(f"   Deserialized count: {copy.count}, after one more: {copy.increment()}")

    print("\nTest 4: Serializing Nested Closures")
    render = roundtrip(create_formatter("> ")(8))
    print("✅ Nested closure serialized")
    print(f"   Result: {render('done')!r}")

    print("\nTest 5: Standard pickle")
    try:
        pickle.dumps(create_multiplier(10))
    except (AttributeError, pickle.PicklingError):
        print("❌ A closure is too much for the standard library's pickle")


def count_rows(database: Path) -> Task[[], int]:
    """Make a task that remembers the path of a database and connects where it runs."""

    @task(executor="process")
    def count() -> int:
        with closing(connect(database)) as connection:
            return connection.execute("SELECT count(*) FROM visits").fetchone()[0]

    return count


async def show_processes() -> None:
    """Run tasks in other processes, with and without something that cannot travel."""
    print("\nTest 6: Running in Another Process")
    multiplier = task("multiplier", executor="process")(create_multiplier(7))
    print(f"✅ Closure task executed in another process -> {await multiplier.run(x=6)}")

    lock = threading.Lock()

    @task(executor="process")
    def guarded() -> None:
        lock.acquire()

    try:
        await guarded
    except NotSerializableError:
        print("❌ A lock belongs to its process: NotSerializableError")

    with TemporaryDirectory() as folder:
        database = Path(folder) / "visits.db"
        with closing(connect(database)) as connection, connection:
            connection.execute("CREATE TABLE visits (page TEXT)")
            connection.executemany("INSERT INTO visits VALUES (?)", [("home",), ("shop",), ("home",)])
        print(f"✅ Path captured, connection opened in the task -> {await count_rows(database)} rows")


def main() -> None:
    """Run the tests one after the other."""
    print("=== Custom Serialization Demo ===\n")
    show_functions(lambda x: x + 10)
    show_state()
    asyncio.run(show_processes())


if __name__ == "__main__":
    main()
