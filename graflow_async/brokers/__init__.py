"""Adapters of the port to people, one module for each technology; they know the port and not each other."""

from __future__ import annotations
