"""The Jinja2 environment that compiles all templates; loaded only where Jinja2 is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from jinja2.runtime import Context

MOST_ELEMENTS = 10_000_000
MOST_BITS = 100_000


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, in which products and powers stay small."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Work out a product or a power, unless its result would fill the memory before anybody could count it."""
        if operator == "**":
            if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > MOST_BITS:
                raise SecurityError(f"a power of more than {MOST_BITS:,} bits")
            return super().call_binop(context, operator, left, right)
        for many, times in ((left, right), (right, left)):
            if isinstance(times, int) and hasattr(many, "__len__") and len(many) * times > MOST_ELEMENTS:
                raise SecurityError(f"a product of more than {MOST_ELEMENTS:,} elements")
        return super().call_binop(context, operator, left, right)


# A prompt is no HTML: what is filled in must arrive as it is.
sandbox = _Sandbox(undefined=StrictUndefined, autoescape=False)
# It makes any amount of text of its own.
del sandbox.globals["lipsum"]  # pyright: ignore[reportUnknownMemberType]
