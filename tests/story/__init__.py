"""Tests of the story of a run: its spans, its critical path, explanations, the watch over the loop."""
