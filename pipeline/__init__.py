"""Offline batch text-to-speech with Parler-TTS: audiobooks and synthetic speech datasets.

The journey of one sentence, and the room it passes through at each step:

    text        a file or table -> `Document`s -> `Segment`s with offsets, spoken form and boundary
    voices      segment -> description of who speaks and how
    planning    seeds, predicted lengths, shards in reading order, buckets (shapes); frozen to disk
    synthesis   utterances -> clips: the reference backend, behind the `Synthesizer` protocol
    audio       trimming, checks, encoding
    dataset     shards of a Hugging Face dataset, their manifests, the card, verification
    book        clips in reading order -> chapters and one m4b
    runtime     composes the above into a run that can be killed and resumed

Imports point one way: `types, config, errors` <- `text, voices, planning` <- `synthesis, audio, dataset, book` <-
`runtime` <- `__main__`. `tests/test_architecture.py` keeps it so. The first two groups never import torch.
"""
