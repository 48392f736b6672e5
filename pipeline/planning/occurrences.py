"""Exact occurrence counts of contents, in bounded memory.

The seeds of repeated texts and the check for repeated ids need to know how often a content occurred before. Contents
are stored as 63-bit hashes. The first `MAX_IN_MEMORY` hashes are in a dictionary. Above this number, all hashes move
to a temporary SQLite database with a cache of `_CACHE_KIB` and an unnamed file in the temporary folder ($TMPDIR).
Each content takes 17 bytes of disk space. A row has one content for its text, and two more for its id and file name.
docs/log/scale.md has the measured costs.

Different hashes are counted independently. Parallel planning would count exactly if each process counted one range of
the hashes over all rows in reading order.

Two different contents can have the same hash; among a hundred million contents the probability of one such pair is 1
in 1,800. An id is then wrongly reported as repeated, or a text gets the seed of a second occurrence, always the same
one.
"""

from __future__ import annotations

import sqlite3

from pipeline.errors import SourceError
from pipeline.seeds import content_seed

MAX_IN_MEMORY = 1 << 17  # about 12 MB
_CACHE_KIB = 65_536
_COUNT = (
    "INSERT INTO seen VALUES (?, 1) ON CONFLICT (hash) DO UPDATE SET times = times + 1 RETURNING times - 1"  # 0: new
)


class Occurrences:
    """Number of occurrences of each content."""

    def __init__(self) -> None:
        self._times: dict[int, int] = {}
        self._database: sqlite3.Connection | None = None

    def add(self, *content: str | int) -> int:
        """Count an occurrence of `content`; return the number of earlier ones.

        Raises:
            SourceError: The temporary folder is full.
        """
        key = content_seed(*content)
        if self._database is not None:
            try:
                return int(self._database.execute(_COUNT, (key,)).fetchone()[0])
            except sqlite3.Error as error:
                raise SourceError(
                    f"planning: cannot store the counts of texts in the temporary folder ({error}). Set TMPDIR "
                    "to a folder with at least 60 free bytes for each text"
                ) from error
        before = self._times.get(key, 0)
        self._times[key] = before + 1
        if len(self._times) > MAX_IN_MEMORY:
            self._move_to_disk()
        return before

    def _move_to_disk(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # "": a temporary file without a name
        for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute("CREATE TABLE seen (hash INTEGER PRIMARY KEY, times INTEGER NOT NULL)")
        self._database.execute("BEGIN")  # one transaction that is never committed, for speed
        self._database.executemany("INSERT INTO seen VALUES (?, ?)", sorted(self._times.items()))
        self._times.clear()

    def close(self) -> None:
        """Delete the temporary database."""
        if self._database is not None:
            self._database.close()
            self._database = None
