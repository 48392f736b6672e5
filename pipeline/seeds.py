"""Seeds and random choices, derived from hashes of content.

A seed never depends on position, time, or neighbouring utterances. The values are part of the product, since they
decide how a clip sounds: tests compare them with stored ones.
"""

from __future__ import annotations

import hashlib
import json


def content_digest(*parts: str | int, size: int = 8) -> bytes:
    """Return the BLAKE2b hash of `parts`, which every hash of this package is made with.

    Args:
        parts: Values to hash. They are encoded as a JSON list, so ("a", "bc") and ("ab", "c") differ, and "1" and 1.
        size: Length of the hash in bytes.
    """
    return hashlib.blake2b(json.dumps(parts).encode("ascii"), digest_size=size).digest()


def content_seed(*parts: str | int) -> int:
    """Return 63 bits of the hash of `parts`: a valid seed for torch and numpy, which fits a signed column."""
    return int.from_bytes(content_digest(*parts), "big") >> 1


def content_fraction(*parts: str | int) -> float:
    """Return a number from 0 (included) to 1 (excluded), uniform over hashes of `parts`."""
    return (content_seed(*parts) >> 10) / 2**53


def utterance_seed(run_seed: int, prompt: str, description: str, occurrence: int = 0) -> int:
    """Return the seed of an utterance: the same words in the same voice have the same seed.

    Args:
        run_seed: `seed` of the config.
        prompt: Words to be spoken.
        description: Description of the voice.
        occurrence: Number of earlier utterances of the run with the same prompt and description, so that repeated
            sentences differ.
    """
    return content_seed("utterance", run_seed, prompt, description, *((occurrence,) if occurrence else ()))


def reading_seed(seed: int, reading: int) -> int:
    """Return the seed of one of several readings of a text whose seed is given; reading 0 uses that seed."""
    return seed if reading == 0 else content_seed("reading", seed, reading)


def take_seed(seed: int, take: int) -> int:
    """Return the seed of a take of an utterance; take 0 uses the utterance's own seed."""
    return seed if take == 0 else content_seed("take", seed, take)
