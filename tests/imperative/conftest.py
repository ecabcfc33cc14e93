"""The styles in which a scenario is told."""

from __future__ import annotations

import pytest

from tests.imperative.parts import Style


@pytest.fixture(params=["async", "sync"])
def style(request: pytest.FixtureRequest) -> Style:
    """Tell the scenario with async tasks and with plain ones."""
    return Style(request.param)
