"""Clips in reading order become chapters and one audiobook.

`making.make_book` reads the clips twice: once to lay out the timeline and measure the loudness, once to write.
`joining` trims and spaces the clips, `mastering` sets the level, `writing` knows the files. Nothing here knows how a
clip was made or where it is kept. `mastering` takes a second to import, because of scipy; `joining` does not need it.
"""
