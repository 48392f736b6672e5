"""Structure of a book: blocks of text, headings and their levels, chapters, front matter, contents, notes, pages."""
