"""Drawing: look at a workflow before it runs."""

from __future__ import annotations

from graflow_async import Workflow, task


@task
def extract() -> list[int]:
    """Give some numbers."""
    return [3, 1, 2]


@task
def smallest(extract: list[int]) -> int:
    """Find the smallest."""
    return min(extract)


@task
def largest(extract: list[int]) -> int:
    """Find the largest."""
    return max(extract)


@task
def load(smallest: int, largest: int) -> str:
    """Use both."""
    return f"from {smallest} to {largest}"


def main() -> None:
    """Draw one workflow in several ways, ask its graph, then run it."""
    wf = Workflow("etl", extract >> (smallest | largest).set_group_name("ends") >> load)

    wf.show_info()
    print()
    print(wf.to_mermaid())
    print("before load:", wf.graph.predecessors("load"))
    print("after extract:", wf.graph.successors("extract"))
    print("value:", wf.execute())


if __name__ == "__main__":
    main()
