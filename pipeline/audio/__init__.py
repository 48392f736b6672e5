"""Samples to bytes and back: encodings and stored sampling rates. Nothing here knows files or models."""
