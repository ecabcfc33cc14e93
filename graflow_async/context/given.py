"""What a workflow was given for all of its tasks, as their contexts show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from .._core.state import Instance
from .._lazy import lazily
from .._runtime.binding import is_factory
from .._runtime.link import Link
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..broker import Broker
    from .prompting import PromptManager

# For their types only: most programs have no prompts, and ask nobody.
_port = lazily("graflow_async.context.prompting")
_broker = lazily("graflow_async.broker")


class Given:
    """The part of a context that shows what the workflow was given."""

    _link: Link
    _instance: Instance

    @property
    def execution_context(self) -> Self:
        """This context itself, for code that was written to take it apart."""
        return self

    @property
    def feedback_broker(self) -> Broker:
        """Where the questions of the run are."""
        return self._link.desk.broker

    @property
    def prompt_manager(self) -> PromptManager:
        """The `prompt_manager=` of the workflow; in a child run without one, that of the run around it.

        Raises:
            ConfigError: there is none.
        """
        scope = self._instance.scope
        while True:
            binder = self._link.binders.get(scope.key)
            found = None if binder is None else binder.provided.entry("prompt_manager")
            if found is not None or scope.caller is None:
                break
            scope = scope.caller.scope
        if found is None:
            message = (
                f"task {self._instance.id!r} asks for ctx.prompt_manager, and its workflow was given none; write "
                "workflow(name, prompt_manager=YAMLPromptManager('prompts/'))"
            )
            raise ConfigError(message)
        if is_factory(found):
            message = (
                f"task {self._instance.id!r}: provide('prompt_manager', ...) was given a factory, whose value only a "
                "parameter named prompt_manager gets; give the manager itself to have it as ctx.prompt_manager"
            )
            raise ConfigError(message)
        return found
