"""Where randomness comes from: hashes of content, never of position, time or a neighbour.

Owns the one encoding that everything hashed in this package goes through. Knows nothing of who draws or what for.
The values are part of the product: they decide the audio of a seed, and golden values in the tests hold them still.
"""

from __future__ import annotations

import hashlib


def content_digest(*parts: str | int, size: int = 8) -> bytes:
    """Returns `size` bytes of BLAKE2b over `parts`.

    Each part is written with its type and its length, so that ("a", "bc") and ("ab", "c"), or "1" and 1, never meet.
    """
    digest = hashlib.blake2b(digest_size=size)
    for part in parts:
        kind = b"i" if isinstance(part, int) else b"s"
        # A lone surrogate can come out of a JSON file. It has to have a hash like any other text.
        encoded = str(part).encode("utf-8", "surrogatepass")
        digest.update(b"%b%d:%b" % (kind, len(encoded), encoded))
    return digest.digest()


def content_seed(*parts: str | int) -> int:
    """Returns 63 bits of hash over `parts`: torch and numpy both take it as a seed, and so does a signed column."""
    return int.from_bytes(content_digest(*parts), "big") >> 1


def content_fraction(*parts: str | int) -> float:
    """Returns a number drawn evenly from 0 (included) to 1 (excluded) by the hash of `parts`."""
    return (content_seed(*parts) >> 10) / 2**53


def utterance_seed(run_seed: int, prompt: str, description: str) -> int:
    """Returns the seed of an utterance. The same words in the same voice get the same seed wherever they stand."""
    return content_seed("utterance", run_seed, prompt, description)


def take_seed(seed: int, take: int) -> int:
    """Returns the seed of one take of an utterance; take 0 uses the utterance's own."""
    return seed if take == 0 else content_seed("take", seed, take)
