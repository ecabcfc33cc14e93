"""Aids for testing workflows and adapters; each lives in a module of its own and is imported from there."""

from __future__ import annotations
