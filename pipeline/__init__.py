"""Offline batch text-to-speech with Parler-TTS: audiobooks and synthetic speech datasets.

The packages, from the top. Each may import only those below it; `tests/project/test_architecture.py` checks this:

    commands     the tasks of the command line: render, preview, status, verify, retry, finalize
    execution    assignment of shards to workers: coordinator, supervisor, inline, processes, Ray
    generation   one shard: takes, retries, checkpoints
    reporting    journal, progress, status, report
    outputs      shards of a dataset with its card; the audiobook
    planning     predicted durations, shards in reading order, buckets (padded shapes); written to disk
    quality      checks of a clip
    text         a file or table -> `Document`s -> `Segment`s with offsets, spoken form and boundary
    synthesis    utterances -> clips: the `Synthesizer` protocol, the engine, and the reference implementation
    audio        encodings
    voices       segment -> speaker, and the description of the voice
    config       schema, composition from the command line, the frozen config of a run
    storage      local paths and URLs, atomic writes, locks, checksums
    types, errors, seeds, registry (extension points)

Text, voices and planning never import torch. Only `synthesis/upstream.py` imports `parler_tts`. `bundled` contains the
checkpoint of `model=bundled`.
"""

__version__ = "0.1.0"
