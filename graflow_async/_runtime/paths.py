"""Where an instance stands in its run, in words: the same in every life of the run, and in every process."""

from __future__ import annotations

from .._core.state import Instance, Scope


def idempotency_key(run_id: str, instance: Instance) -> str:
    """Make the key of one turn of an instance: the same for every attempt, and after a resumption."""
    import hashlib  # slow to import, and few tasks ask for a key

    return hashlib.sha256(f"{run_id}/{path_of(instance)}".encode()).hexdigest()[:32]


def path_of(item: Instance) -> str:
    """Say where a turn of an instance stands among all of a run, without numbers that depend on what else happened."""
    return item.place if item.place is not None else path_below(path_to(above(item)), item)


def above(item: Instance) -> Instance | Scope:
    """Give what an instance belongs to: the body that started it, or its run."""
    return item.parent if item.parent is not None else item.scope


def path_below(path: str, item: Instance) -> str:
    """Go on from the path of what an instance belongs to."""
    return f"{path}{item.id!r} {_number(item)}/{item.turn}"


def path_to(owner: Instance | Scope) -> str:
    """Say where the instances stand that belong to an instance or a scope, up to a last slash."""
    parts: list[str] = []
    current: Instance | Scope | None = owner
    while current is not None:
        if isinstance(current, Scope):
            if current.caller is not None:
                parts.append(f"run {current.name!r} {current.about[0] if current.about else current.key}/")
            current = current.caller
        else:
            parts.append(f"{current.id!r} {_number(current)} turn {current.turn}/")
            current = above(current)
    return "".join(reversed(parts))


def _number(item: Instance) -> str:
    return f"lap {item.lap.number}" if item.lap is not None else str(item.ordinal)
