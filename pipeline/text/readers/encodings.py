"""Encodings of text files: which one a file seems to have, and which names are no encodings."""

from __future__ import annotations

import io
import re
from pathlib import Path

from charset_normalizer import from_bytes

from pipeline.errors import SourceError
from pipeline.storage.paths import open_input

LOOKED_AT = 1 << 16  # bytes that are enough to tell an encoding


def check_encoding(encoding: str) -> None:
    """Refuse what is no encoding of text: Python's codecs also know rot13, base64 and one that always fails.

    Raises:
        SourceError: It is none.
    """
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding).read()
    except (LookupError, ValueError, TypeError) as error:
        message = f"source.encoding={encoding}: is not an encoding of text; try utf-8, cp1252 or utf-16"
        raise SourceError(message) from error


def wrong_encoding(path: Path, encoding: str) -> SourceError:
    """Proposes the encoding of what is around the first byte that cannot be read, so far as it can be told."""
    with open_input(path) as file:
        sample = next((chunk for chunk in iter(lambda: file.read(LOOKED_AT), b"") if not chunk.isascii()), b"")
    best = from_bytes(sample).best()
    if best is None:
        return SourceError(
            f"{path}: is not {encoding}; save it as UTF-8, or name its encoding with source.encoding=..."
        )
    name = best.encoding
    if _reads_as_cp1252(sample) and not name.startswith("utf") and _is_latin(str(best)):
        name = "cp1252"
    # Nothing but the reader can tell Western letters from those of Central Europe or Turkey: one byte stands for both.
    other = best.encoding if best.encoding.startswith("cp125") else name
    doubt = f" ({other} if its letters come out wrong)" if name != other and sample.decode(name) != str(best) else ""
    return SourceError(
        f"{path}: is not {encoding}; it looks like {name}: set source.encoding={name}{doubt}, or save it as UTF-8"
    )


def _reads_as_cp1252(sample: bytes) -> bool:
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return True


def _is_latin(text: str) -> bool:
    """Whether the letters beyond ASCII stand among plain ones, as accented letters do, and not in words of their own.

    It holds for a wrong guess too, whatever letters that makes of the accented ones.
    """
    words = [word for word in re.findall(r"[^\W\d_]{2,}", text) if not word.isascii()]
    mixed = [word for word in words if re.search("[A-Za-z]", word)]
    return 2 * len(mixed) >= len(words)
