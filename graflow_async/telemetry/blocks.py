"""Blocks in which the span of an attempt is the current one: where its run is, and where its body was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind, Status, StatusCode

from .._version import __version__
from ..errors import text_of
from . import names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from opentelemetry.trace import Span


class Current:
    """Makes the block in which a span is current; pickled, it makes one that goes on with the trace elsewhere."""

    __slots__ = ("_attributes", "_base", "_name", "_span")

    def __init__(self, span: Span, base: Context, name: str | None, attributes: Mapping[str, Any]) -> None:
        """Keep the span of an attempt.

        Args:
            span: what is to be current.
            base: what else travels with it (baggage).
            name: of the span that is to be made where the body was sent; None for none.
            attributes: of that span.
        """
        self._span = span
        self._base = base
        self._name = name
        self._attributes = attributes

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what goes on with the trace."""
        headers: dict[str, str] = {}
        propagate.inject(headers, trace.set_span_in_context(self._span, self._base))
        return Carried, (headers, self._name, dict(self._attributes))

    def __call__(self) -> Current:
        """Give the block: it is one itself, as it leaves nothing behind."""
        return self

    def __enter__(self) -> Self:
        """Make the span the current one of the body."""
        attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the body's own copy of the context variables ends with the body."""


class Carried:
    """Makes the block around a body that was sent elsewhere."""

    __slots__ = ("_attributes", "_headers", "_name")

    def __init__(self, headers: Mapping[str, str], name: str | None, attributes: Mapping[str, Any]) -> None:
        """Keep the headers in which the trace travels, and what the span of this side is."""
        self._headers = headers
        self._name = name
        self._attributes = attributes

    def __call__(self) -> Resumed:
        """Make the block."""
        context = propagate.extract(self._headers)
        if self._name is None:
            return Resumed(context, None)
        tracer = trace.get_tracer(names.SCOPE, __version__)
        span = tracer.start_span(self._name, context, SpanKind.CONSUMER, self._attributes)
        return Resumed(trace.set_span_in_context(span, context), span)


class Resumed:
    """A block in which a trace goes on that came from elsewhere."""

    __slots__ = ("_context", "_span", "_token")

    def __init__(self, context: Context, span: Span | None) -> None:
        """Make ready; the span ends with the block."""
        self._context = context
        self._span = span
        self._token: Any = None

    def __enter__(self) -> Self:
        """Make it current."""
        self._token = attach(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span."""
        span = self._span
        if span is not None:
            if isinstance(error, Exception):
                failed(span, error)
            span.end()
        if kind is not GeneratorExit:  # else Python clears up after a body that was left behind, and anywhere
            detach(self._token)


def failed(span: Span, error: BaseException, *, told: bool = False) -> None:
    """Note on a span what has ended it; `told` says that another span has the whole story."""
    if not told:
        try:
            span.record_exception(error)
        except Exception:  # noqa: BLE001  # it asks the exception for its text, and that is the user's code
            span.add_event("exception", {"exception.type": type_of(error), "exception.message": text_of(error)})
    span.set_attribute(names.ERROR_TYPE, type_of(error))
    span.set_status(Status(StatusCode.ERROR, f"{type(error).__qualname__}: {text_of(error)}"))


def type_of(error: BaseException) -> str:
    """Name the type of an exception, as conventions want it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
