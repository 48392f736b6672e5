"""Count how often a content has come before: exactly, in bounded memory.

The seed of a repeated text and the check for repeated ids need a count of every content that a plan has seen. Contents
are remembered as 63-bit hashes. The first of them are kept in a dictionary. Beyond `MAX_IN_MEMORY` all move to a
temporary SQLite database, of which `_CACHE_KIB` are kept in memory and the rest in a deleted file of the temporary
folder ($TMPDIR). A content takes 17 bytes there: a row takes one with its text, and two more with its id and file name.
docs/log/scale.md has the measured costs.

Counts of different hashes do not depend on each other. A plan that is made in parallel counts exactly if each process
counts one range of the hashes, for all rows in reading order.

Two different contents may share a hash: one pair among a hundred million has a chance of 1 in 1,800. A repeated id is
then reported wrongly, or a text gets the seed of a second occurrence, the same one every time.
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
    """The contents that have come so far, with how often each came."""

    def __init__(self) -> None:
        self._times: dict[int, int] = {}
        self._database: sqlite3.Connection | None = None

    def add(self, *content: str | int) -> int:
        """Count one occurrence of `content`; return how many came before it.

        Raises:
            SourceError: The temporary folder is full.
        """
        key = content_seed(*content)
        if self._database is not None:
            try:
                return int(self._database.execute(_COUNT, (key,)).fetchone()[0])
            except sqlite3.Error as error:
                raise SourceError(
                    f"planning: counting repeated texts needs room in the temporary folder ({error}): set TMPDIR to a "
                    "folder with more space, 20 bytes for each text"
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
        self._database.execute("BEGIN")  # one transaction, never committed: nothing is to survive
        self._database.executemany("INSERT INTO seen VALUES (?, ?)", sorted(self._times.items()))
        self._times.clear()

    def close(self) -> None:
        """Delete the temporary database."""
        if self._database is not None:
            self._database.close()
            self._database = None
