"""Checks of generated clips: measures, which become columns, and flaws, which cause a retake.

`check` has the protocol and the registry, `signal` the check of the samples, `transcript` that of the words.
`concurrent` runs slow checks in a thread beside the synthesis, and `flaws` writes flaws as text.
"""

from pipeline.quality.check import CHECKS, Check, Checker, Finding, Inspector

__all__ = ["CHECKS", "Check", "Checker", "Finding", "Inspector"]
