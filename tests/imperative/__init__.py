"""Scenarios of imperative workflows: awaiting, mapping, branching, subflows, data-driven pipelines."""
