"""Checks of generated clips: measures of the samples, and flaws, which cause a retake."""
