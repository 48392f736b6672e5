"""Read files from the archive of an EPUB, within limits.

Names are paths from the root of the archive. Archives may have them with backslashes, in decomposed letters, in another
case, or as UTF-8 without the flag for it; such files are found too.
"""

from __future__ import annotations

import io
import posixpath
import unicodedata
import zipfile
import zlib
from urllib.parse import unquote, urlsplit

from pipeline.errors import SourceError

# Larger than any text. A ZIP archive can inflate to a thousand times its size.
MAX_FILE_BYTES = 32 << 20
MAX_BOOK_BYTES = 256 << 20
# Raised by zipfile for content that is truncated, altered, encrypted, or compressed by an unknown method.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


class Archive:
    """An opened EPUB. `name` is its name in messages."""

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        self._bytes_read = 0
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except (*_UNREADABLE, ValueError, NotImplementedError) as error:
            raise self._damaged(error) from error
        self._exact: dict[str, zipfile.ZipInfo] = {}
        self._similar: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            path = posixpath.normpath(info.filename.replace("\\", "/"))
            self._exact.setdefault(path, info)
            for spelling in (path, _as_utf8(path)):
                self._similar.setdefault(_folded(spelling), info)

    def __contains__(self, path: str) -> bool:
        return self._find(path) is not None

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            KeyError: It is not in the archive.
            SourceError: It is damaged, or inflates beyond the limits.
        """
        info = self._find(path)
        if info is None:
            raise KeyError(path)
        try:
            with self._zip.open(info) as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except (*_UNREADABLE, ValueError, NotImplementedError) as error:
            raise self._damaged(error) from error
        self._bytes_read += len(content)
        if len(content) > MAX_FILE_BYTES:
            raise SourceError(
                f"{self.name}: {path} in it is larger than {MAX_FILE_BYTES >> 20} MiB; no page of a book is; "
                "export the book as text (.txt)"
            )
        if self._bytes_read > MAX_BOOK_BYTES:
            raise SourceError(
                f"{self.name}: its pages are larger than {MAX_BOOK_BYTES >> 20} MiB together; split it, or export it "
                "as text (.txt)"
            )
        return content

    def _find(self, path: str) -> zipfile.ZipInfo | None:
        return self._exact.get(path) or self._similar.get(_folded(path))

    def _damaged(self, error: Exception) -> SourceError:
        return SourceError(
            f"{self.name}: is not a complete EPUB ({error}); download it again, or export it as text (.txt)"
        )


def resolve(address: str, base: str) -> tuple[str, str] | None:
    """Return the file and the fragment that a link in the file `base` leads to; None: it leads out of the archive."""
    try:
        parts = urlsplit(address.strip())
    except ValueError:  # http://[::1/
        return None
    if parts.scheme or parts.netloc:
        return None
    path = unquote(parts.path).replace("\\", "/")
    if path.startswith("/"):
        path = path.lstrip("/")
    elif path:
        path = posixpath.join(posixpath.dirname(base), path)
    return posixpath.normpath(path) if path else base, unquote(parts.fragment)


def _as_utf8(name: str) -> str:
    """Return a name as UTF-8 that zipfile has decoded as code page 437, since its UTF-8 flag is missing."""
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
