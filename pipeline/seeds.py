"""Where randomness comes from: hashes of content, never of position, time or a neighbour.

Owns the one encoding that everything hashed in this package goes through. Knows nothing of who draws or what for.
The values are part of the product: they decide the audio of a seed, and golden values in the tests hold them still.
"""

from __future__ import annotations

import hashlib
import json


def content_digest(*parts: str | int, size: int = 8) -> bytes:
    """Returns `size` bytes of BLAKE2b over `parts`.

    They are hashed as a JSON list, so that ("a", "bc") and ("ab", "c"), or "1" and 1, never meet.
    """
    return hashlib.blake2b(json.dumps(parts).encode("ascii"), digest_size=size).digest()


def content_seed(*parts: str | int) -> int:
    """Returns 63 bits of hash over `parts`: torch and numpy both take it as a seed, and so does a signed column."""
    return int.from_bytes(content_digest(*parts), "big") >> 1


def content_fraction(*parts: str | int) -> float:
    """Returns a number drawn evenly from 0 (included) to 1 (excluded) by the hash of `parts`."""
    return (content_seed(*parts) >> 10) / 2**53


def utterance_seed(run_seed: int, prompt: str, description: str, occurrence: int = 0) -> int:
    """Return the seed of an utterance: the same for the same words in the same voice, wherever they stand.

    `occurrence` counts the earlier utterances of a run with the same words and voice, so that each is another reading.
    """
    return content_seed("utterance", run_seed, prompt, description, *((occurrence,) if occurrence else ()))


def reading_seed(seed: int, reading: int) -> int:
    """Return the seed of one of several readings of a text whose seed was given; reading 0 uses that one."""
    return seed if reading == 0 else content_seed("reading", seed, reading)


def take_seed(seed: int, take: int) -> int:
    """Returns the seed of one take of an utterance; take 0 uses the utterance's own."""
    return seed if take == 0 else content_seed("take", seed, take)
