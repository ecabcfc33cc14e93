"""Tests of running workflows: bad input, failures, cancellation, limits, isolation, the handle."""
