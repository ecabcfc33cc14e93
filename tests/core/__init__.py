"""The machine on its own: events in, commands out, no event loop anywhere."""

from __future__ import annotations
