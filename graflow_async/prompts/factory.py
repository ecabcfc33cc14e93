"""PromptManagerFactory: a prompt manager by the name of where its prompts are kept."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError
from .yaml_manager import YAMLPromptManager


class PromptManagerFactory:
    """Makes prompt managers for programs that read the backend's name from their configuration."""

    @staticmethod
    def create(backend: str = "yaml", **options: Any) -> YAMLPromptManager:
        """Make a prompt manager; `options` are those of its class.

        Raises:
            ConfigError: there is no such backend (a ValueError), or an option makes no sense.
        """
        if backend != "yaml":
            message = f"prompts are kept in 'yaml', not in {backend!r}; for another place give an own PromptManager"
            raise ConfigError(message)
        return YAMLPromptManager(**options)
