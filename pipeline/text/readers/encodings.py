"""Encodings of text files: check the name of one, and guess the one that a file has."""

from __future__ import annotations

import io
import re
from pathlib import Path

from charset_normalizer import from_bytes

from pipeline.errors import SourceError
from pipeline.storage.paths import open_input

SAMPLE_BYTES = 1 << 16  # enough to tell an encoding


def check_encoding(encoding: str) -> None:
    """Refuse a name that is not an encoding of text. Python's codecs include others, such as rot13 and base64.

    Raises:
        SourceError: It is not an encoding of text.
    """
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding).read()
    except (LookupError, ValueError, TypeError) as error:
        message = f"source.encoding={encoding}: not an encoding of text; try utf-8, cp1252 or utf-16"
        raise SourceError(message) from error


def with_bom(encoding: str) -> str:
    """Return the codec that also accepts a byte order mark, which Windows puts before UTF-8."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def wrong_encoding(path: Path, encoding: str) -> SourceError:
    """Return the error for a file in another encoding. It proposes one, guessed from the first bytes beyond ASCII."""
    with open_input(path) as file:
        sample = next((chunk for chunk in iter(lambda: file.read(SAMPLE_BYTES), b"") if not chunk.isascii()), b"")
    best = from_bytes(sample).best()
    if best is None:
        return SourceError(f"{path}: is not {encoding}; save it as UTF-8, or give its encoding: source.encoding=...")
    name = best.encoding
    if _reads_as_cp1252(sample) and not name.startswith("utf") and _is_latin(str(best)):
        name = "cp1252"
    # One byte is a Western letter or one of Central Europe or Turkey: only a person can tell which is right.
    other = best.encoding if best.encoding.startswith("cp125") else name
    alternative = (
        f" ({other} if its letters come out wrong)" if name != other and sample.decode(name) != str(best) else ""
    )
    return SourceError(
        f"{path}: is not {encoding}; it looks like {name}: set source.encoding={name}{alternative}, or save it as UTF-8"
    )


def _reads_as_cp1252(sample: bytes) -> bool:
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return True


def _is_latin(text: str) -> bool:
    """Return whether letters beyond ASCII stand in words with ASCII letters, as accented letters do.

    This also holds if the guessed encoding is wrong, since the ASCII letters are the same in it.
    """
    words = [word for word in re.findall(r"[^\W\d_]{2,}", text) if not word.isascii()]
    mixed = [word for word in words if re.search("[A-Za-z]", word)]
    return 2 * len(mixed) >= len(words)
