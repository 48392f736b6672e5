"""The examples in the docstrings of `pipeline.synthesis`."""

from __future__ import annotations

import doctest

import pipeline.synthesis


def test_the_example_runs() -> None:
    """Guards the example that a new user copies first: it once was no valid Python."""
    results = doctest.testmod(pipeline.synthesis)
    assert results.attempted > 0
    assert results.failed == 0
