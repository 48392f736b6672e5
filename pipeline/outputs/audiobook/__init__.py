"""Clips in reading order become chapters and one audiobook.

`make` reads the clips twice: once for the timeline and the loudness, once to write. `joining` trims and spaces clips,
`timeline` places chapters, `mastering` sets the level, `containers` writes FLAC, m4b and subtitles, `index` writes
`book.json`, `live_preview` writes the first minutes while a run goes on. `mastering` takes a second to import (scipy).
"""
