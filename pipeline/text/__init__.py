"""From an input to the segments that are spoken.

`readers` turn files of a format into `Document`s; `structure` finds chapters, headings, notes and page numbers in them;
`segmentation` cuts paragraphs into `Segment`s, with `sentences` for the places of the cuts, and `spoken_form` (with
`strip_markup` and `normalization`) for the words that are spoken. Nothing here knows voices, models or shapes.
"""
