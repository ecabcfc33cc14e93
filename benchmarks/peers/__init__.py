"""The rivals, one module each; a module is imported only where its product is installed.

Each has the same face as `benchmarks.floor`: `SCENARIOS`, `IMPORT` and `HELLO`. A scenario does its work the way the
product's own documentation does it, checks that every body ran, and takes only the run itself on the clock.
"""

from __future__ import annotations

PACKAGES = {"langgraph": "langgraph", "prefect": "prefect", "graflow": "graflow", "dask": "distributed"}
"""Peer -> the distribution and top-level module that must be there."""
