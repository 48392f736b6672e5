"""Find the ends of sentences, and the places where a long sentence may be cut.

`segmentation` decides which of them are used.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

import sentencex

from pipeline.text.strip_markup import find_comments

Span = tuple[int, int]

# sentencex does not split quotations. They are split like other text if the quotation marks are removed first.
_QUOTES = "\"'“”‘’„«»"
_QUOTE = re.compile(r"[\"“”„«»‘]|['’](?!\w)|(?<!\w)['’]")  # no apostrophe inside a word
_CLOSING = "\"'”’»)]*_"

# Abbreviations after which a full stop does not end a sentence,
_TITLES = (
    r"Mr|Mrs|Ms|Mssrs|Messrs|Mme|Mlle|Dr|Prof|Rev|Revd|Hon|Esq|Capt|Col|Gen|Lt|Lieut|Maj|Sgt|Cpl|Adm|Cmdr|Gov|Sen|Rep|"
    r"St|Ste|Mt|Ft|Wm|Geo|Thos|Jas|Chas|Jos|Robt|Edw"
)
_WITHIN = r"e\.g|i\.e|viz|vs|cf|approx"
_ENDS_WITH_ABBREVIATION = re.compile(rf"\b(?:{_TITLES}|{_WITHIN})\.\s*$")
# ... those where that holds before a number (not "app.", which is too often a word),
_ENDS_WITH_NUMBER_WORD = re.compile(
    r"\b(?:[Nn]os?|[Vv]ols?|pp?|[Cc]hs?|[Cc]hap|[Ff]igs?|[Bb]k|Pt|[Ss]ec|[Aa]rt|ed|[Ee]st|[Tt]el|[Ee]q|[Oo]p|ca)\.\s*$"
)
_ENDS_WITH_WEEKDAY = re.compile(r"\b(?:Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun)\.\s*$")
_STARTS_WITH_DAY = re.compile(r"\s*\d\d?(?:st|nd|rd|th)? (?:of )?[JFMASOND][a-z]+")
# ... and amounts: £3 10s. 6d., 2 hrs. 15 min., 5 lbs. 6 oz., 3 cwt. 2 qrs. Only the next smaller unit may follow:
# "in her 20s. 5 minutes later" and "the 60s. 3d films" are two sentences.
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

# Marks at which a long sentence may be cut, the best first. The cut is after the mark and the white space behind it.
# After a dash, a quotation mark closes only before white space; else it opens the next part.
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
# Links, citations, deletions and comments of editors.
_LINK = re.compile(
    r"\[[^\[\]]*\]\([^()]*\)|\[\\?\[\w{1,4}\\?\]\]\([^()]*\)|\[[^\[\]@]{0,60}@[^\[\]]{0,300}\]|\{(?:>>|--)[^{}]{0,1000}\}"
)
# A footnote mark belongs to the sentence before it.
_CLOSED_GAP = re.compile(
    rf"[{re.escape(_CLOSING)}]*(?:[\[{{](?:\d{{1,3}}|[A-Z]|[*†‡]{{1,3}})[\]}}]|\[\\?\[\w{{1,4}}\\?\]\]\([^()\s]*\))*\s*"
)
_WINDOW = 20_000  # characters given to sentencex at once; paragraphs of books are shorter
_WORD_END = re.compile(r"\s+")
_CONTEXT = 80  # characters beside a cut that are looked at: more than any abbreviation or amount has


def split_sentences(text: str, language: str) -> list[Span]:
    """Split `text` into sentences.

    Args:
        text: A paragraph.
        language: Code without region, e.g. "en".

    Returns:
        Spans that tile the text: white space after a sentence belongs to it.
    """
    if not text:
        return []
    bare = _QUOTE.sub(" ", text)
    markup = _Spans(_markup(text, (0, len(text))))
    last_word = _last_word(text, len(text))
    cuts = _real_cuts(text, _boundaries(bare, language))
    spans: list[Span] = []
    start = 0
    has_word, seen = False, 0  # of the text from `start` up to the last cut that was looked at
    for cut in sorted(cuts - {0, len(text)}):
        has_word = has_word or _is_word(text[seen:cut])
        seen = cut
        if has_word and cut <= last_word and not markup.contains(cut) and _is_an_end(text, start, cut):
            spans.append((start, cut))
            start, has_word = cut, False
    return [*spans, (start, len(text))]


def split_at(text: str, span: Span, mark: re.Pattern[str]) -> list[Span]:
    """Split a span after each `mark` in it, but not after "Mr."; each part has a letter or a digit."""
    start, end = span
    cuts = [start]
    markup = _Spans(_markup(text, span))
    last_word = _last_word(text, end)
    has_word, seen = False, start  # of the text from the last cut up to the last mark
    for match in mark.finditer(text, start, end):
        cut = match.end()
        has_word = has_word or _is_word(text[seen:cut])
        seen = cut
        if not has_word or cut > last_word or markup.contains(cut):
            continue
        if not _belongs_together(_tail(text, cuts[-1], cut), text[cut : min(end, cut + _CONTEXT)]):
            cuts.append(cut)
            has_word = False
    return list(pairwise([*cuts, end]))


def split_words(text: str, span: Span) -> list[Span]:
    """Split a span between its words."""
    return split_at(text, span, _WORD_END)


def _boundaries(text: str, language: str) -> Iterator[int]:
    """Yield the offsets where sentences end for sentencex, which takes quadratic time and so is given windows."""
    at = 0
    while at < len(text):
        window = text[at : at + _WINDOW]
        ends = [at + found["end_index"] for found in sentencex.get_sentence_boundaries(language, window)]
        if at + _WINDOW >= len(text):
            yield from ends
            return
        yield from ends[:-1]  # the last sentence may continue in the next window
        at = ends[-2] if len(ends) > 1 and ends[-2] > at else at + _WINDOW


def _real_cuts(text: str, found: Iterable[int]) -> set[int]:
    """Move cuts that were found without quotation marks: closing marks belong to the sentence before them."""
    before_gaps = set()
    previous, previous_start = 0, 0
    for cut in found:
        start = cut
        while start > previous and (text[start - 1].isspace() or text[start - 1] in _QUOTES):
            start -= 1
        if start == previous:  # the same gap as that of the cut before
            start = previous_start
        before_gaps.add(start)
        previous, previous_start = cut, start
    return {_CLOSED_GAP.match(text, cut).end() for cut in before_gaps}  # type: ignore[union-attr]  # it may be empty


class _Spans:
    """Sorted spans that do not overlap."""

    def __init__(self, spans: list[Span]) -> None:
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def contains(self, cut: int) -> bool:
        """Return whether a cut lies inside one of them."""
        found = bisect_left(self._starts, cut) - 1
        return found >= 0 and cut < self._ends[found]


def _markup(text: str, span: Span) -> list[Span]:
    """Return the comments and links in a span, which must not be cut, or `strip_markup` would not find them."""
    found: list[Span] = []
    at = span[0]
    for start, end in [*find_comments(text, *span), (span[1], span[1])]:
        found += [link.span() for link in _LINK.finditer(text, at, start)]
        found.append((start, end))
        at = end
    return found[:-1]


def _is_an_end(text: str, start: int, cut: int) -> bool:
    """Return whether a sentence that begins at `start` ends at `cut`, and not only an abbreviation does."""
    after = text[cut : cut + 40]
    return not (_STARTS_LOW.match(after) or _belongs_together(_tail(text, start, cut), after))


def _tail(text: str, start: int, end: int) -> str:
    """Return the last characters of a span, at most `_CONTEXT`, so that the cost does not depend on its length."""
    while end > start and text[end - 1].isspace():
        end -= 1
    return text[max(start, end - _CONTEXT) : end]


def _is_word(text: str) -> bool:
    return any(map(str.isalnum, text))


def _last_word(text: str, end: int) -> int:
    """Return the offset of the last letter or digit before `end`; -1: there is none."""
    return next((offset for offset in range(end - 1, -1, -1) if text[offset].isalnum()), -1)


def _belongs_together(before: str, after: str) -> bool:
    """Return whether `before` ends with an abbreviation that needs `after`: Mr. Hale, No. 5, 10s. 6d., J. Moss."""
    return bool(
        _ENDS_WITH_ABBREVIATION.search(before)
        or (_ENDS_WITH_NUMBER_WORD.search(before) and _STARTS_WITH_NUMBER.match(after))
        or (_ENDS_WITH_WEEKDAY.search(before) and _STARTS_WITH_DAY.match(after))
        or any(larger.search(before) and smaller.match(after) for larger, smaller in _AMOUNTS)
        or (_ENDS_WITH_INITIAL.search(before) and _STARTS_WITH_NAME.match(after))
    )
