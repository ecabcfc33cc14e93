"""What a prompt manager gives: a prompt that renders to a text, or to the messages of a chat."""

from __future__ import annotations

from copy import deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._template import Template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Labelled:
    """What all prompts have."""

    __slots__ = ("created_at", "label", "metadata", "name", "version")

    def __init__(
        self, name: str, label: str, version: int, metadata: Mapping[str, Any] | None, created_at: Any
    ) -> None:
        self.name = name
        self.label = label
        self.version = version
        self.metadata: Mapping[str, Any] = MappingProxyType(dict(metadata or {}))
        self.created_at = created_at

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {self.label} {self.version}>"


class TextPrompt(_Labelled):
    """A prompt that renders to a text. One object serves all who ask for it, in any thread.

    Attributes:
        name: with the folders that it is in.
        label: what its version is called.
        version: its number.
        content: the template.
        metadata: what stands beside it in its file.
        created_at: as it stands in its file; None if it does not.
    """

    __slots__ = ("_template",)

    def __init__(
        self,
        name: str,
        content: str,
        *,
        label: str = "production",
        version: int = 1,
        metadata: Mapping[str, Any] | None = None,
        created_at: Any = None,
    ) -> None:
        """Make a prompt of a template; nothing is compiled yet."""
        super().__init__(name, label, version, metadata, created_at)
        self._template = Template(content, name, label, version)

    @property
    def content(self) -> str:
        """The template."""
        return self._template.text

    def compile(self) -> None:
        """Compile the template now instead of at the first `render`.

        Raises:
            PromptCompilationError: it is no template.
        """
        self._template.compile()

    def render(self, /, **variables: Any) -> str:
        """Fill in the variables; those that the template does not name are ignored.

        Raises:
            PromptCompilationError: a variable is missing, or rendering failed for another reason.
            PromptConfigurationError: Jinja2 is not installed.
        """
        return self._template.render(variables)

    def __reduce__(self) -> tuple[Any, ...]:
        return _text, (self.name, self.content, self.label, self.version, dict(self.metadata), self.created_at)


class ChatPrompt(_Labelled):
    """A prompt that renders to a list of messages. One object serves all who ask for it, in any thread.

    Attributes:
        name: with the folders that it is in.
        label: what its version is called.
        version: its number.
        content: the messages, each with `role`, `content` (a template) and whatever else it has.
        metadata: what stands beside them in their file.
        created_at: as it stands in its file; None if it does not.
    """

    __slots__ = ("_messages", "_templates")

    def __init__(
        self,
        name: str,
        content: Sequence[Mapping[str, Any]],
        *,
        label: str = "production",
        version: int = 1,
        metadata: Mapping[str, Any] | None = None,
        created_at: Any = None,
    ) -> None:
        """Make a prompt of messages; nothing is compiled yet."""
        super().__init__(name, label, version, metadata, created_at)
        self._messages = tuple(dict(message) for message in content)
        self._templates = tuple(
            Template(message["content"], name, label, version, f"message {number}")
            for number, message in enumerate(self._messages, 1)
        )

    @property
    def content(self) -> list[dict[str, Any]]:
        """The messages with their templates, as a copy."""
        return deepcopy(list(self._messages))

    def compile(self) -> None:
        """Compile the templates now instead of at the first `render`.

        Raises:
            PromptCompilationError: one is no template.
        """
        for template in self._templates:
            template.compile()

    def render(self, /, **variables: Any) -> list[dict[str, Any]]:
        """Fill in the variables; give new messages, whose other fields are as they stand in the prompt.

        Raises:
            PromptCompilationError: a variable is missing, or rendering failed for another reason.
            PromptConfigurationError: Jinja2 is not installed.
        """
        messages = self.content
        for message, template in zip(messages, self._templates, strict=True):
            message["content"] = template.render(variables)
        return messages

    def __reduce__(self) -> tuple[Any, ...]:
        return _chat, (self.name, self.content, self.label, self.version, dict(self.metadata), self.created_at)


def _text(name: str, content: str, label: str, version: int, metadata: dict[str, Any], created_at: Any) -> TextPrompt:
    """Make a pickled prompt again; its template is compiled anew."""
    return TextPrompt(name, content, label=label, version=version, metadata=metadata, created_at=created_at)


def _chat(
    name: str, content: list[dict[str, Any]], label: str, version: int, metadata: dict[str, Any], created_at: Any
) -> ChatPrompt:
    """Make a pickled prompt again; its templates are compiled anew."""
    return ChatPrompt(name, content, label=label, version=version, metadata=metadata, created_at=created_at)
