"""Audio: samples to the bytes of an audio file and back, and the sampling rates that a format can store.

Everything is in `encoding`. Importing this package imports nothing. It knows no clips, datasets, files or models.
"""
