"""Offline batch text-to-speech with Parler-TTS: audiobooks and synthetic speech datasets.

The journey of one sentence, and the room it passes through at each step:

    text        a file or table -> `Document`s -> `Segment`s with offsets, spoken form and boundary
    voices      segment -> who speaks it, and the description that says how
    planning    predicted lengths, shards in reading order, buckets (shapes); frozen to disk
    synthesis   utterances -> clips, behind the `Synthesizer` protocol: the engine, and the reference that it must equal
    audio       checks, encoding
    dataset     shards of a Hugging Face dataset, their manifests, the card, verification
    book        clips in reading order -> chapters, one m4b, subtitles
    runtime     composes the above into a run that can be killed and resumed

Beside them: `types`, the values that pass between the rooms; `config` (with `config_checks`, `config_executor` and
`config_output`), the schemas of the configuration, and `composition` (with `overrides`, `config_file` and
`hydra_values`), which fills them from the command line and from files; `options` and `completion`, what else the
command line takes; `seeds`, where all randomness comes from; `places`, where files lie, on a disk or behind an
address, and `compression`, which unpacks them; `errors`, what a user can mend; `bundled`, the checkpoint that ships.

Imports point one way; `tests/test_architecture.py` draws the floors and keeps them. Text, voices and planning never
import torch, and one module alone, `synthesis/upstream.py`, imports `parler_tts`.
"""

__version__ = "0.1.0"
