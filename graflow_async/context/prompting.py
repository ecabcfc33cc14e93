"""The ports of prompts, as contexts show them: what a prompt and a prompt manager must offer."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, runtime_checkable

from .._runtime.binding import is_factory
from ..errors import ConfigError

T_co = TypeVar("T_co", covariant=True)


class Prompt(Protocol[T_co]):
    """A template with a name."""

    def render(self, /, **variables: Any) -> T_co:
        """Fill in the variables."""
        ...


@runtime_checkable
class PromptManager(Protocol):
    """Where prompts come from: what `workflow(..., prompt_manager=)` takes.

    The methods are called in coroutines as well as in threads: they must not block for long, and be safe in threads.
    """

    def get_prompt(self, name: str, label: str | None = "production", version: int | None = None) -> Prompt[Any]:
        """Give a prompt, text or chat; without a version the label's latest.

        Raises:
            PromptError: there is none, or it cannot be read.
        """
        ...

    def get_text_prompt(self, name: str, label: str | None = "production", version: int | None = None) -> Prompt[str]:
        """Give a prompt that renders to a text.

        Raises:
            PromptTypeError: it is a chat.
            PromptError: as `get_prompt`.
        """
        ...

    def get_chat_prompt(
        self, name: str, label: str | None = "production", version: int | None = None
    ) -> Prompt[list[dict[str, Any]]]:
        """Give a prompt that renders to a list of messages.

        Raises:
            PromptTypeError: it is a text.
            PromptError: as `get_prompt`.
        """
        ...


def require_prompt_manager(value: Any) -> PromptManager:
    """Give back a prompt manager; refuse what is none.

    Raises:
        ConfigError: it lacks a method, or is a class or function instead of an object.
    """
    if is_factory(value) or not isinstance(value, PromptManager):
        message = f"prompt_manager= takes an object with get_prompt, get_text_prompt and get_chat_prompt, not {value!r}"
        raise ConfigError(message)
    return value
