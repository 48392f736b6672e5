"""Reader of EPUB 2 and 3.

`reader` makes a book of a file. `archive` opens the file, `package` reads its metadata and the order of its pages,
`navigation` its table of contents. `parsing`, `styles` and `page` read each page into text runs; `notes` and `matter`
leave out those that are not read aloud, and `chapters` finds where chapters begin.
"""

from pipeline.text.readers.epub.reader import EPUB, parse_epub, read_cover, read_epub

__all__ = ["EPUB", "parse_epub", "read_cover", "read_epub"]
