"""The structure of a book, for all formats.

A reader says what each stretch of a text is (`blocks.Block`). Here headings are recognised (`headings`), chapters
found by lines (`chapters`) or by heading levels (`heading_tree`), and front matter, tables of contents, notes and page
numbers left out. `blocks.assemble` makes the chapters and skips of a `Document`.
"""
