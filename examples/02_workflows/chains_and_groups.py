"""Chains with `>>`, groups with `|`, and both nested: plain tasks, run with `wf.execute()`."""

from __future__ import annotations

from graflow_async import Workflow, chain, parallel, task

TEXT = "  Small parts, well joined, make large things.  "


@task
def clean() -> str:
    """Remove what is around the text."""
    return TEXT.strip().rstrip(".").replace(",", "").lower()


@task
def words(clean: str) -> list[str]:
    """Split it."""
    return clean.split()


@task
def longest(words: list[str]) -> str:
    """Find the longest word."""
    return max(words, key=len)


@task
def initials(words: list[str]) -> str:
    """Join the first letters."""
    return "".join(word[0] for word in words)


@task
def shout(initials: str) -> str:
    """Continue one branch of a group: a chain in a group is a branch."""
    return initials.upper()


@task
def report(longest: str, shout: str) -> str:
    """Run once, when every branch has ended."""
    return f"longest word: {longest}; initials: {shout}"


def main() -> None:
    """Run one chain, one group and one of each inside the other."""
    print("chain:", Workflow("chain", clean >> words >> longest).execute())
    print("group:", Workflow("group", clean >> words >> (longest | initials)).execute())
    print("nested:", Workflow("nested", clean >> words >> (longest | (initials >> shout)) >> report).execute())

    # The same with functions instead of operators, for parts that are in a list.
    steps = [clean, words]
    branches = [longest, chain(initials, shout)]
    print("from lists:", Workflow("lists", chain(*steps, parallel(*branches), report)).execute())


if __name__ == "__main__":
    main()
