"""Output as an audiobook: one m4b file, one FLAC file for each chapter, subtitles and `book.json`.

`make` reads the clips twice: first to compute the timeline and the loudness, then to write the files. `joining` trims
clips and adds pauses, `timeline` computes the positions of chapters, `mastering` sets the level, `containers` writes
FLAC, m4b and subtitles, `index` writes `book.json`. `live_preview` writes the first minutes during a run. Importing
`mastering` takes about a second because of scipy.
"""
