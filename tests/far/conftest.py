"""Every test of this folder begins with nothing remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.far import parts

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Forget what an earlier test has counted."""
    parts.forget()
    yield
    parts.forget()
