"""From `module:object` to a workflow: finding the module, the object in it, and what can be run of it."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..compose import Expression
from ..task import Task
from ..workflow import Workflow
from .failures import CommandError, UsageError, describe

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import ModuleType

Runnable = Workflow | Expression


def load(target: str) -> Runnable:
    """Import the module of `module:object` and give the object; a factory is called.

    Raises:
        UsageError: there is no such module or object, or it cannot be run.
        CommandError: the module or the factory raised.
    """
    place, colon, path = target.rpartition(":")
    if not colon:
        place, path = target, ""
    if not place or (colon and not path):
        raise UsageError(f"write module:object or path/to/file.py:object, not {target!r}")
    module = _import(place)
    if not path:
        raise UsageError(f"say what to take from {place}: {place}:OBJECT{_offer(module)}")
    return _runnable(_find(module, place, path), target)


def as_workflow(runnable: Runnable) -> Workflow:
    """Give a workflow; a task or an expression becomes one."""
    if isinstance(runnable, Workflow):
        return runnable
    name = cast("Task[Any, Any]", runnable).id if isinstance(runnable, Task) else "run"
    return Workflow(name, cast("Expression", runnable))


def search_here() -> None:
    """Put the current folder on the path."""
    folder = os.getcwd()  # noqa: PTH109  # as a text, as sys.path has it
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _import(place: str) -> ModuleType:
    """Import a dotted module, or a file by its path, with the current folder on the path."""
    importlib.import_module("queue")  # the thread pool needs it later, when a user's file of that name would be found
    search_here()
    if place.endswith(".py") or os.sep in place:
        return _import_file(Path(place))
    with _telling(place):
        return importlib.import_module(place)


def _import_file(path: Path) -> ModuleType:
    """Import a file: under the name it has in its package, else under its own, so that other processes find it too."""
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}")
    path = path.resolve()
    folder, names = path.parent, [path.stem]
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    if path.stem == "__init__":
        names.pop()
    if sys.path[0] != str(folder):
        sys.path.insert(0, str(folder))
    name = ".".join(names)
    known = sys.modules.get(name)
    with _telling(str(path)):
        if known is not None and getattr(known, "__file__", None) == str(path):
            return known
        if known is None and "." not in path.stem:
            return importlib.import_module(name)
        # The name belongs to a module that is in use, such as `queue`, or is none that an import statement could write.
        return _import_as(f"{path.stem.replace('.', '_')}_file", path)


def _import_as(name: str, path: Path) -> ModuleType:
    """Import a file under a name of our choice."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def _telling(place: str) -> Generator[None]:
    """Tell a module that is not there from one that fails."""
    try:
        yield
    except CommandError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise UsageError(f"there is no module {place!r} (searched from {Path.cwd()})") from error
        raise CommandError(f"importing {place} failed: {describe(error)}") from error
    except (ValueError, TypeError) as error:
        if place.startswith(".") or ".." in place or place.endswith("."):
            raise UsageError(f"{place!r} is not the name of a module") from error
        raise CommandError(f"importing {place} failed: {describe(error)}") from error
    except (Exception, SystemExit) as error:
        raise CommandError(f"importing {place} failed: {describe(error)}") from error


def _find(module: ModuleType, place: str, path: str) -> Any:
    """Follow a dotted name into a module."""
    found: Any = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise UsageError(f"{place} has no {path!r}{_offer(module, path)}") from error
    return found


def _offer(module: ModuleType, wanted: str = "") -> str:
    """Name what could be run in a module, the nearest names first."""
    names = [name for name, value in vars(module).items() if isinstance(value, Runnable) and not name.startswith("_")]
    near = difflib.get_close_matches(wanted, names, n=3)
    if near:
        return f"; did you mean {', '.join(near)}?"
    names.sort(key=lambda name: not isinstance(vars(module)[name], Workflow))
    return f"; it has {', '.join(names[:8])}" if names else "; it has no workflow and no task"


def _runnable(found: Any, target: str) -> Runnable:
    """Give what was found if it can be run, or what it makes if it is a factory."""
    if isinstance(found, Runnable):
        return found
    if not callable(found) or isinstance(found, type):
        raise UsageError(f"{target} is of type {type(found).__name__}, which is no workflow, task, flow or factory")
    if inspect.iscoroutinefunction(found):
        raise UsageError(f"{target} is an async function; decorate it with @task or @flow to run it")
    if _needs_arguments(found):
        raise UsageError(
            f"{target} needs arguments, so it makes no workflow; decorate it with @task or @flow to run it"
        )
    try:
        made = found()
    except (Exception, SystemExit) as error:
        raise CommandError(f"{target}() failed: {describe(error)}") from error
    if not isinstance(made, Runnable):
        raise UsageError(f"{target}() gave {type(made).__name__}, which is no workflow, task or flow")
    return made


def _needs_arguments(function: Any) -> bool:
    """Say whether a function cannot be called without arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions do not tell
        return True
    empty, variadic = inspect.Parameter.empty, (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(p.default is empty and p.kind not in variadic for p in parameters)
