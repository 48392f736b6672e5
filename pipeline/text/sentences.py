"""Where sentences end, and where a sentence may be cut when it is too long.

It knows characters only, no lengths: `segmentation` decides which of these places are used.
"""

from __future__ import annotations

import re
from itertools import pairwise

import sentencex

Span = tuple[int, int]

# sentencex keeps a quotation whole, however many sentences it holds; without its marks it is cut like any other text.
_QUOTES = "\"'“”‘’„«»"
_QUOTE = re.compile(r"[\"“”„«»‘]|['’](?!\w)|(?<!\w)['’]")  # no apostrophe inside a word
_CLOSING = "\"'”’»)]*_"

# A full stop after one of these does not end a sentence ...
_TITLES = (
    r"Mr|Mrs|Ms|Mssrs|Messrs|Mme|Mlle|Dr|Prof|Rev|Revd|Hon|Esq|Capt|Col|Gen|Lt|Lieut|Maj|Sgt|Cpl|Adm|Cmdr|Gov|Sen|Rep|"
    r"St|Ste|Mt|Ft|Wm|Geo|Thos|Jas|Chas|Jos|Robt|Edw"
)
_WITHIN = r"e\.g|i\.e|viz|vs|cf|approx"
_ENDS_WITH_ABBREVIATION = re.compile(rf"\b(?:{_TITLES}|{_WITHIN})\.\s*$")
# ... and after one of these it does not when a number follows ("app." is too often a word) ...
_ENDS_WITH_NUMBER_WORD = re.compile(
    r"\b(?:[Nn]os?|[Vv]ols?|pp?|[Cc]hs?|[Cc]hap|[Ff]igs?|[Bb]k|Pt|[Ss]ec|[Aa]rt|ed|[Ee]st|[Tt]el|[Ee]q|[Oo]p|ca)\.\s*$"
)
_ENDS_WITH_WEEKDAY = re.compile(r"\b(?:Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun)\.\s*$")
_STARTS_WITH_DAY = re.compile(r"\s*\d\d?(?:st|nd|rd|th)? (?:of )?[JFMASOND][a-z]+")
# ... and inside an amount: £3 10s. 6d., 2 hrs. 15 min., 5 lbs. 6 oz., 3 cwt. 2 qrs. Only what is next smaller and as
# short may follow: "in her 20s. 5 minutes later" and "the 60s. 3d films" are two sentences.
_AMOUNTS = tuple(
    (re.compile(rf"(?<![\d'’]){larger}\.\s*$"), re.compile(rf"\s*\d[\d ½¼¾/]*{smaller}"))
    for larger, smaller in (
        (r"\d\d?s", r"d(?:\.|[,;]|$)"),
        (r"\d+ ?hrs?", r"(?:min|sec)s?\b(?!\.? (?:later|after|before|of)\b)"),
        (r"\d+ ?lbs?", r"oz\b"),
        (r"\d+ ?cwt", r"(?:qrs?|lbs?)\b"),
    )
)
_ENDS_WITH_INITIAL = re.compile(r"(?:^|[^\w'’.])(?!I\.)[A-Z]\.\s*$|\b(?:[A-Z]\.\s?)+I\.\s*$")
_STARTS_WITH_NAME = re.compile(r"\s*[A-Z]")
_STARTS_WITH_NUMBER = re.compile(r"\s*(?:\d|[IVXLC]+\b)")
_STARTS_LOW = re.compile(r"[\s\"'“‘(\[*_—–-]*[a-zà-öø-ÿ]")

# Marks at which a long sentence may be cut, the best first; a cut comes after the mark and the white space behind it.
# Behind a dash a quotation mark may open what follows, so there it closes only before white space.
_CLOSED = rf"[{re.escape(_CLOSING)}]*"
CLAUSE_MARKS: tuple[re.Pattern[str], ...] = (
    re.compile(rf"[.!?…]+{_CLOSED}\s+"),
    re.compile(rf"[;:]{_CLOSED}\s+|(?:[—–]+|--+)(?:{_CLOSED}\s+)?"),
    re.compile(rf"(?:,{_CLOSED}|\))\s+"),
    re.compile(
        r"\s+(?=(?:and|but|or|nor|for|yet|so|because|although|though|while|when|where|which|who|that|if|unless|until|"
        r"since|as|than|before|after)\s)",
        re.IGNORECASE,
    ),
)
_MARKUP = re.compile(r"<!--.*?-->|\[[^\[\]]*\]\([^()]*\)", re.DOTALL)
_WORD_END = re.compile(r"\s+")


def split_sentences(text: str, language: str) -> list[Span]:
    """Cuts `text` into sentences. The spans tile it: white space after a sentence belongs to it."""
    if not text:
        return []
    bare = _QUOTE.sub(" ", text)
    markup = _markup(text, (0, len(text)))
    cuts = {_real_cut(text, found["end_index"]) for found in sentencex.get_sentence_boundaries(language, bare)}
    spans: list[Span] = []
    start = 0
    for cut in sorted(cuts - {0, len(text)}):
        if any(first < cut < last for first, last in markup):
            continue
        if _is_word(text[cut:]) and _is_an_end(text[start:cut], text[cut : cut + 40]):
            spans.append((start, cut))
            start = cut
    return [*spans, (start, len(text))]


def split_at(text: str, span: Span, mark: re.Pattern[str]) -> list[Span]:
    """Cuts a span after each `mark` in it, but not behind "Mr."; each piece has a letter or a digit."""
    start, end = span
    cuts = [start]
    markup = _markup(text, span)
    for match in mark.finditer(text, start, end):
        cut = match.end()
        if any(first < cut < last for first, last in markup):
            continue
        before, after = text[cuts[-1] : cut], text[cut:end]
        if _is_word(before) and _is_word(after) and not _belongs_together(before, after):
            cuts.append(cut)
    return list(pairwise([*cuts, end]))


def split_words(text: str, span: Span) -> list[Span]:
    """Cuts a span between its words."""
    return split_at(text, span, _WORD_END)


def _real_cut(text: str, cut: int) -> int:
    """Moves a cut found without quotation marks: closing marks go to the sentence before, opening ones to the next."""
    while cut and (text[cut - 1].isspace() or text[cut - 1] in _QUOTES):
        cut -= 1
    while cut < len(text) and text[cut] in _CLOSING:
        cut += 1
    while cut < len(text) and text[cut].isspace():
        cut += 1
    return cut


def _markup(text: str, span: Span) -> list[Span]:
    """Comments and links in a span, which `wording` can only leave out when they are whole."""
    return [found.span() for found in _MARKUP.finditer(text, *span)]


def _is_an_end(before: str, after: str) -> bool:
    """Whether a sentence ends between `before` and `after`; sentencex takes many abbreviations for an end."""
    return _is_word(before) and not (_STARTS_LOW.match(after) or _belongs_together(before, after))


def _is_word(text: str) -> bool:
    return any(map(str.isalnum, text))


def _belongs_together(before: str, after: str) -> bool:
    """Whether `before` ends with an abbreviation that needs `after`: Mr. Hale, No. 5, 10s. 6d., J. Moss."""
    return bool(
        _ENDS_WITH_ABBREVIATION.search(before)
        or (_ENDS_WITH_NUMBER_WORD.search(before) and _STARTS_WITH_NUMBER.match(after))
        or (_ENDS_WITH_WEEKDAY.search(before) and _STARTS_WITH_DAY.match(after))
        or any(larger.search(before) and smaller.match(after) for larger, smaller in _AMOUNTS)
        or (_ENDS_WITH_INITIAL.search(before) and _STARTS_WITH_NAME.match(after))
    )
