"""Offline batch text-to-speech with Parler-TTS: audiobooks and synthetic speech datasets.

The packages, from the top. Each may import what stands below it; `tests/test_architecture.py` keeps it:

    commands     the tasks of the command line: render, preview, status, verify, retry, finalize
    execution    which worker generates which shard: coordinator, supervisor, inline, processes, Ray
    generation   one shard: takes, retries, checkpoints
    reporting    journal, progress, status, report
    outputs      shards of a dataset with its card; the audiobook
    planning     predicted durations, shards in reading order, buckets (padded shapes); written to disk
    quality      checks of a clip
    text         a file or table -> `Document`s -> `Segment`s with offsets, spoken form and boundary
    synthesis    utterances -> clips, behind the `Synthesizer` protocol: the engine, and the reference that it equals
    audio        encodings
    voices       segment -> who speaks it, and the description that says how
    config       schema, composition from the command line, the frozen config of a run
    storage      paths on a disk or behind an address, atomic writes, locks, checksums
    types, errors, seeds, registry (extension points)

Text, voices and planning never import torch. Only `synthesis/upstream.py` imports `parler_tts`. `bundled` holds the
checkpoint that ships.
"""

__version__ = "0.1.0"
