"""Graphs to draw, and readers that find out from a drawing alone what it says."""
