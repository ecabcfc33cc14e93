"""Ratios of graflow_async to raw asyncio, and to installed peers, measured in the same run.

Only measuring lives here: nothing in the library imports this package.
"""

from __future__ import annotations
