"""Classify the elements of a page by tag, type, role and class: blocks, notes, page numbers, code ..."""

from __future__ import annotations

import re

from lxml import etree

from pipeline.text.readers.epub.parsing import start_of, tag_of, text_of, types_of
from pipeline.text.readers.epub.styles import Style
from pipeline.text.readers.epub.tables import is_text_table
from pipeline.text.skip_reasons import Reason
from pipeline.text.structure.headings import HeadingKind, classify_heading

# fmt: off
BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hgroup", "hr", "legend", "li", "main", "menu", "nav", "noscript", "ol", "optgroup", "option", "p", "pre",
    "search", "section", "select", "summary", "table", "tbody", "td", "textarea", "tfoot", "th", "thead", "tr", "ul",
))
# fmt: on
HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6", "hgroup"))
WITHOUT_WORDS = frozenset(("head", "rp", "script", "style", "param", "source", "track", "link", "meta"))
# Inline elements whose text is not joined with the words beside them.
CONTROLS = frozenset(("button", "label", "kbd", "meter", "object", "output", "progress"))
DROPPED = {
    "audio": Reason.MEDIA, "video": Reason.MEDIA, "iframe": Reason.ALTERNATIVE, "select": Reason.FORM,
    "textarea": Reason.FORM, "datalist": Reason.FORM, "option": Reason.FORM, "rt": Reason.READING,
    "rtc": Reason.READING, "template": Reason.HIDDEN, "noembed": Reason.ALTERNATIVE, "noframes": Reason.ALTERNATIVE,
}  # fmt: skip
_TYPES = {  # values of epub:type, and of role without "doc-"
    "footnote": Reason.NOTE,
    "footnotes": Reason.NOTE,
    "endnote": Reason.NOTE,
    "endnotes": Reason.NOTE,
    "rearnote": Reason.NOTE,
    "rearnotes": Reason.NOTE,
    "noteref": Reason.NOTE_MARK,
    "backlink": Reason.NOTE_MARK,
    "referrer": Reason.NOTE_MARK,
    "pagebreak": Reason.PAGE_NUMBER,
    "page-list": Reason.PAGE_LIST,
    "pagelist": Reason.PAGE_LIST,
    "toc": Reason.CONTENTS,
    "landmarks": Reason.CONTENTS,
    "loi": Reason.ILLUSTRATION_LIST,
    "lot": Reason.TABLE_LIST,
    "titlepage": Reason.TITLE_PAGE,
    "copyright-page": Reason.IMPRINT,
    "imprint": Reason.IMPRINT,
    "colophon": Reason.COLOPHON,
    "index": Reason.INDEX,
    "bibliography": Reason.BIBLIOGRAPHY,
}
_CLASSES = (  # classes of Project Gutenberg, InDesign, Word, Calibre, Pandoc, Kobo
    (
        re.compile(r"mso(?:foot|end)notetext|_?(?:id)?(?:foot|end|rear)-?_?notes?(?:-?_?(?:text|body|item|list))?"),
        Reason.NOTE,
    ),
    (
        re.compile(
            r"(?:mso)?_?(?:id)?(?:foot|end)?-?_?note-?_?(?:ref(?:erence)?|link|anchor|call|mark|num(?:ber)?|back)s?|"
            r"fn-?(?:ref|anchor|link|mark)|(?:fn|note)anchor|pginternalnote"
        ),
        Reason.NOTE_MARK,
    ),
    (re.compile(r"page-?_?(?:num(?:ber)?|no|break)?s?|pagenum\d*|pb|pg|pagebreak\w*"), Reason.PAGE_NUMBER),
    (re.compile(r"l(?:ine)?-?_?(?:num(?:ber)?|no)s?\d*|ln"), Reason.LINE_NUMBER),
    (re.compile(r"v(?:erse|s)?-?_?(?:num(?:ber)?|no|n)?s?"), Reason.VERSE_NUMBER),
    (re.compile(r"run(?:ning)?-?_?head(?:er)?"), Reason.RUNNING_HEAD),
    (re.compile(r"pg-?boilerplate\w*|pgheader|pg-?footer|trans(?:criber)?s?-?notes?"), Reason.GUTENBERG_NOTICE),
    (re.compile(r"side-?notes?|margin(?:al)?-?notes?|marginalia"), Reason.SIDENOTE),
)  # fmt: skip
_NUMBERS = (Reason.PAGE_NUMBER, Reason.LINE_NUMBER, Reason.VERSE_NUMBER)
_NUMBER = re.compile(r"[\[({|]?\s*(?:pg|page|p)?\.?\s*(?:\d{1,4}[a-z]?|[ivxlc]+|[IVXLC]{2,})\s*[\])}|]?", re.I | re.A)
_MAX_MARK = 24  # characters of a note mark or page number
_RAISED_CLASS = re.compile(r"(?:^|[\s_-])(?:sup|super|superscript|supscript)\d*(?:$|[\s_-])|superscript", re.I)
INITIAL_CLASS = re.compile(r"drop|initial|\bdc\b|lettrine|firstletter|first-letter|bigletter|\bcap\b", re.I)
TITLE_CLASS = re.compile(r"title|chap|head|\bct\b|\bcn\b|\bnum\b", re.I)
_TEXT_PICTURE = re.compile(r"gaiji|math|formula|equation|latex|drop|initial", re.I)
# The description of a picture of a letter. Only the letter is spoken.
_INITIAL_ALT = re.compile(
    r"(?:(?:an?|the|decorat(?:ed|ive)|ornamental|ornate|illuminated|large|big|capital|initial|"
    r"drop[ -]?(?:ped[ -]?)?cap|letter)\b[\s:,.-]*)+(?P<letter>[\"'“‘(]?[^\W\d_])[\"'”’.]?",
    re.I,
)
_PLACEHOLDER = re.compile(
    r"(?:(?:alternat(?:iv)?e|alt)[ -]?text|description|alt).{0,30}|"
    r"(?:an? )?(?:math|equation|formula|image|null)\d*|[\W_]*",
    re.I,
)
_CODE_CLASS = re.compile(r"(?:^|[\s_-])(?:code|programlisting|sourcecode|listing|highlight|language-\w+|screen)", re.I)
_CODE_SIGN = re.compile(r"[{}()\[\];=<>/\\#$_|]")
_MAX_CODE_SIGNS = 0.06  # share of the characters of preformatted text that is not code


def reason_of(element: etree._Element, tag: str, style: Style) -> str:
    """Return the reason why an element is not spoken; "": it is spoken."""
    for reason in _declared(element):
        if reason in _NUMBERS:
            if _is_number(element, reason):
                return reason
        elif reason is not Reason.NOTE_MARK or len(start_of(element, _MAX_MARK).strip()) <= _MAX_MARK:
            return reason
    if element.get("hidden") is not None or str(element.get("aria-hidden", "")).lower() == "true" or style.is_hidden:
        return Reason.HIDDEN
    if tag == "dialog" and element.get("open") is None:
        return Reason.HIDDEN
    if tag == "table" and not is_text_table(element):
        return Reason.TABLE
    if tag == "pre" and _is_code(element):
        return Reason.CODE
    return ""


def heading_level(element: etree._Element, tag: str) -> int:
    """Return the level of a heading; 0: it is not a heading."""
    if tag == "hgroup":
        levels = [int(tag_of(each)[1]) for each in element.iter() if tag_of(each) in HEADINGS - {"hgroup"}]
        return min(levels, default=0)
    if tag in HEADINGS:
        return int(tag[1])
    if element.get("role") == "heading":
        level = str(element.get("aria-level", "2"))
        return int(level) if level in "123456" else 2
    return 0


def is_internal(address: str) -> bool:
    """Return whether a link leads into the book, not to the web."""
    return not re.match(r"[a-z][a-z0-9+.-]*:", address, re.I)


def is_raised(element: etree._Element) -> bool:
    """Return whether an element is a superscript by its tag or class."""
    return tag_of(element) == "sup" or bool(_RAISED_CLASS.search(str(element.get("class", ""))))


def has_note_marks(body: etree._Element) -> bool:
    """Return whether a page has superscript numbers after words or punctuation."""
    return any(
        tag_of(element) == "sup"
        and re.fullmatch(r"\s*[\[(]?\d{1,3}[\])]?\s*", start_of(element, _MAX_MARK))
        and re.search(r"(?:[^\W\d_]{3}|[.,;:!?\"'”’])\Z", _text_before(element))
        for element in body.iter()
    )


def _text_before(element: etree._Element) -> str:
    """Return the last characters before an element in its paragraph."""
    for _ in range(4):
        before, parent = element.getprevious(), element.getparent()
        if before is not None:
            return (before.tail or "".join(map(str, before.itertext())))[-4:] if tag_of(before) else before.tail or ""
        if parent is None or parent.text or tag_of(parent) in BLOCKS:
            return (parent.text or "")[-4:] if parent is not None else ""
        element = parent
    return ""


def is_apart(element: etree._Element, tag: str) -> bool:
    """Return whether an inline element begins a new word: it is a control, or a link right behind a link."""
    before = element.getprevious()
    is_after_link = before is not None and not before.tail and tag_of(before) == "a" and before.get("href") is not None
    return tag in CONTROLS or (tag == "a" and element.get("href") is not None and is_after_link)


def text_after(element: etree._Element) -> str:
    """Return the first characters after an element in its paragraph."""
    for _ in range(4):
        if element.tail:
            return element.tail[:4]
        following, parent = element.getnext(), element.getparent()
        if following is not None:
            return start_of(following, 4)[:4]
        if parent is None or tag_of(parent) in BLOCKS:
            return ""
        element = parent
    return ""


def is_initial(element: etree._Element, tag: str) -> bool:
    """Return whether an element can be a drop cap by its markup."""
    style = str(element.get("style", ""))
    is_painted = tag == "big" or "float" in style or "font-size" in style
    return is_painted or bool(INITIAL_CLASS.search(str(element.get("class", ""))))


def is_picture_of_text(image: etree._Element, alt: str, *, in_heading: bool = False) -> bool:
    """Return whether a picture shows a letter, a formula or a heading that its alternative text says."""
    if re.fullmatch(r"[\"'“‘(]?[^\W\d_]", alt):
        return True
    heading = classify_heading(alt) if in_heading else None
    if heading is not None and heading.kind in (
        HeadingKind.NAMED,
        HeadingKind.CHAPTER,
        HeadingKind.PART,
        HeadingKind.PERIOD,
    ):
        return True
    names = f"{image.get('class', '')} {image.get('role', '')}"
    return bool(alt) and "\\" not in alt and len(alt) <= 200 and bool(_TEXT_PICTURE.search(names))


def text_of_picture(alt: str) -> str:
    """Return the text that a picture of a letter or a formula shows.

    >>> [text_of_picture(alt) for alt in ("T", "Dropcap T", "Ornate initial letter: O", "x plus y")]
    ['T', 'T', 'O', 'x plus y']
    """
    found = _INITIAL_ALT.fullmatch(alt)
    return found["letter"] if found else alt


def text_of_formula(formula: etree._Element) -> str:
    """Return the alternative text of a formula; "": it has none, or it is TeX or a placeholder."""
    words = " ".join(str(formula.get("alttext", "")).split())
    return "" if "\\" in words or "$" in words or _PLACEHOLDER.fullmatch(words) else words


def text_of_drawing(drawing: etree._Element) -> str:
    """Return the text in an SVG."""
    texts = [str(drawing.get("aria-label", ""))]
    for element in drawing.iter():
        if tag_of(element) in ("title", "desc", "text"):
            texts.append(text_of(element))
    return " ".join(filter(None, texts))


def _declared(element: etree._Element) -> list[Reason]:
    found = [_TYPES[kind] for kind in types_of(element) if kind in _TYPES]
    for name in str(element.get("class", "")).lower().split():
        found += [reason for pattern, reason in _CLASSES if pattern.fullmatch(name)]
    return found


def _is_number(element: etree._Element, reason: Reason) -> bool:
    """Return whether an element holds only a number. Other text may be in it by mistake, and is spoken."""
    words = start_of(element, _MAX_MARK).strip()
    if reason is not Reason.PAGE_NUMBER:
        return bool(re.fullmatch(r"[\[(]?\d{1,4}[a-z]?[.)\]]?", words))
    return bool(_NUMBER.fullmatch(words)) and words != "I"


def _is_code(element: etree._Element) -> bool:
    if any(tag_of(each) in ("code", "samp", "kbd") for each in element) or _CODE_CLASS.search(element.get("class", "")):
        return True
    words = "".join(map(str, element.itertext()))
    return len(_CODE_SIGN.findall(words)) > _MAX_CODE_SIGNS * len(words)
