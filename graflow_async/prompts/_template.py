"""One template: compiled at first use in Jinja2's sandbox, and rendered within bounds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..errors import PromptCompilationError, PromptConfigurationError, text_of

# Here and not where it is used: loading it takes 20 ms, which the first prompt would cost a running loop.
_sandbox: Any
try:
    from ._sandbox import sandbox as _sandbox
except ModuleNotFoundError as absent:  # said to those who render
    if absent.name != "jinja2":
        raise
    _sandbox = None

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Template as Compiled

MOST_CHARACTERS = 10_000_000
_UNDEFINED = re.compile(r"'([^']+)' is undefined")


class Template:
    """The text of a template, and what to call it in an error."""

    __slots__ = ("_compiled", "label", "part", "prompt", "text", "version")

    def __init__(self, text: str, prompt: str, label: str, version: int, part: str = "") -> None:
        """Keep the text; `part` says which one of a prompt it is, if there are several."""
        self.text = text
        self.prompt = prompt
        self.label = label
        self.version = version
        self.part = part
        self._compiled: Compiled | None = None

    def compile(self) -> Compiled:
        """Compile the template, unless that was done before; threads that do it at once do the same.

        Raises:
            PromptCompilationError: it is no template.
            PromptConfigurationError: Jinja2 is not installed.
        """
        compiled = self._compiled
        if compiled is None:
            if _sandbox is None:
                raise PromptConfigurationError('rendering prompts needs Jinja2: pip install "graflow-async[prompts]"')
            try:
                compiled = self._compiled = _sandbox.from_string(self.text)
            except Exception as error:
                raise self._failure(error, "cannot be compiled") from error
        return compiled

    def render(self, variables: Mapping[str, Any]) -> str:
        """Fill in the variables.

        Raises:
            PromptCompilationError: it is no template, or rendering it failed.
            PromptConfigurationError: Jinja2 is not installed.
        """
        compiled = self.compile()
        pieces: list[str] = []
        room = MOST_CHARACTERS
        try:
            for piece in compiled.generate(variables):
                room -= len(piece)
                if room < 0:
                    _refuse_long()
                pieces.append(piece)
        except Exception as error:
            given = ", ".join(sorted(variables)) or "nothing"
            raise self._failure(error, "cannot be rendered", f"; it was given: {given}") from error
        return "".join(pieces)

    def _failure(self, error: Exception, what: str, end: str = "") -> PromptCompilationError:
        """Tell what Jinja2 says, and where."""
        reason = text_of(error).partition("\n")[0]
        missing = _UNDEFINED.match(reason)
        part = f", {self.part}" if self.part else ""
        line = _line_of(error)
        where = f"prompt {self.prompt!r} (label {self.label!r}, version {self.version}{part}){line}"
        variable = missing.group(1) if missing is not None else None
        return PromptCompilationError(f"{where} {what}: {reason}{end}", self.prompt, self.label, variable)


def _line_of(error: Exception) -> str:
    """Say in which line of the template it happened; nothing where that is not known."""
    line: int | None = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None:
        # Jinja2 puts the template's own lines into the traceback.
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line} of the template," if line else ""


def _refuse_long() -> None:
    """End the rendering of a template that does not stop."""
    raise OverflowError(f"it makes more than {MOST_CHARACTERS:,} characters")
