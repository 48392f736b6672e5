"""Clips in reading order become chapters and one audiobook.

`make_book` reads the clips twice: once to lay out the timeline and measure the loudness, once to write. `joining` trims
and spaces the clips, `mastering` sets the level, `writing` knows the files. Nothing here knows how a clip was made or
where it is kept.
"""

from pipeline.book.joining import BookClip
from pipeline.book.layout import BookMetadata
from pipeline.book.making import BookChapter, BookFiles, make_book
from pipeline.book.writing import check_cover

__all__ = ["BookChapter", "BookClip", "BookFiles", "BookMetadata", "check_cover", "make_book"]
