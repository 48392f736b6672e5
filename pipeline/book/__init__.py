"""Clips in reading order become chapters and one audiobook."""
