"""Where sentences end, and where a sentence may be cut when it is too long.

It knows characters only, no lengths: `segmentation` decides which of these places are used.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

import sentencex

from pipeline.text.strip_markup import find_comments

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
_LINK = re.compile(r"\[[^\[\]]*\]\([^()]*\)")
_CLOSED_GAP = re.compile(rf"[{re.escape(_CLOSING)}]*\s*")
_WINDOW = 20_000  # characters: no paragraph of a book is as long
_WORD_END = re.compile(r"\s+")
_CONTEXT = 80  # characters before or after a cut that decide whether it is one: more than any abbreviation or amount


def split_sentences(text: str, language: str) -> list[Span]:
    """Cuts `text` into sentences. The spans tile it: white space after a sentence belongs to it."""
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
        if has_word and cut <= last_word and not markup.holds(cut) and _is_an_end(text, start, cut):
            spans.append((start, cut))
            start, has_word = cut, False
    return [*spans, (start, len(text))]


def split_at(text: str, span: Span, mark: re.Pattern[str]) -> list[Span]:
    """Cuts a span after each `mark` in it, but not behind "Mr."; each piece has a letter or a digit."""
    start, end = span
    cuts = [start]
    markup = _Spans(_markup(text, span))
    last_word = _last_word(text, end)
    has_word, seen = False, start  # of the text from the last cut up to the last mark
    for match in mark.finditer(text, start, end):
        cut = match.end()
        has_word = has_word or _is_word(text[seen:cut])
        seen = cut
        if not has_word or cut > last_word or markup.holds(cut):
            continue
        if not _belongs_together(_tail(text, cuts[-1], cut), text[cut : min(end, cut + _CONTEXT)]):
            cuts.append(cut)
            has_word = False
    return list(pairwise([*cuts, end]))


def split_words(text: str, span: Span) -> list[Span]:
    """Cuts a span between its words."""
    return split_at(text, span, _WORD_END)


def _boundaries(text: str, language: str) -> Iterator[int]:
    """Where sentences may end, for sentencex. It takes quadratic time for some texts, hence a window at a time."""
    at = 0
    while at < len(text):
        window = text[at : at + _WINDOW]
        ends = [at + found["end_index"] for found in sentencex.get_sentence_boundaries(language, window)]
        if at + _WINDOW >= len(text):
            yield from ends
            return
        yield from ends[:-1]  # the last sentence may go on
        at = ends[-2] if len(ends) > 1 and ends[-2] > at else at + _WINDOW


def _real_cuts(text: str, found: Iterable[int]) -> set[int]:
    """Moves cuts found without quotation marks: closing marks go to the sentence before, opening ones to the next."""
    before_gaps = set()
    previous, previous_start = 0, 0
    for cut in found:
        start = cut
        while start > previous and (text[start - 1].isspace() or text[start - 1] in _QUOTES):
            start -= 1
        if start == previous:  # one gap as far as the cut before, whose start is known
            start = previous_start
        before_gaps.add(start)
        previous, previous_start = cut, start
    return {_CLOSED_GAP.match(text, cut).end() for cut in before_gaps}  # type: ignore[union-attr]  # it may be empty


class _Spans:
    """Spans that do not overlap, in order."""

    def __init__(self, spans: list[Span]) -> None:
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def holds(self, cut: int) -> bool:
        """Whether a cut lies inside one of them."""
        found = bisect_left(self._starts, cut) - 1
        return found >= 0 and cut < self._ends[found]


def _markup(text: str, span: Span) -> list[Span]:
    """Comments and links in a span, which `wording` can only leave out when they are whole."""
    found: list[Span] = []
    at = span[0]
    for start, end in [*find_comments(text, *span), (span[1], span[1])]:
        found += [link.span() for link in _LINK.finditer(text, at, start)]
        found.append((start, end))
        at = end
    return found[:-1]


def _is_an_end(text: str, start: int, cut: int) -> bool:
    """Whether a sentence that begins at `start` ends at `cut`; sentencex takes many abbreviations for an end."""
    after = text[cut : cut + 40]
    return not (_STARTS_LOW.match(after) or _belongs_together(_tail(text, start, cut), after))


def _tail(text: str, start: int, end: int) -> str:
    """The last characters of a span, so that a look at its end takes no longer for a long one."""
    while end > start and text[end - 1].isspace():
        end -= 1
    return text[max(start, end - _CONTEXT) : end]


def _is_word(text: str) -> bool:
    return any(map(str.isalnum, text))


def _last_word(text: str, end: int) -> int:
    """The offset of the last letter or digit before `end`, or -1."""
    return next((offset for offset in range(end - 1, -1, -1) if text[offset].isalnum()), -1)


def _belongs_together(before: str, after: str) -> bool:
    """Whether `before` ends with an abbreviation that needs `after`: Mr. Hale, No. 5, 10s. 6d., J. Moss."""
    return before.endswith(".") and bool(
        _ENDS_WITH_ABBREVIATION.search(before)
        or (_ENDS_WITH_NUMBER_WORD.search(before) and _STARTS_WITH_NUMBER.match(after))
        or (_ENDS_WITH_WEEKDAY.search(before) and _STARTS_WITH_DAY.match(after))
        or any(larger.search(before) and smaller.match(after) for larger, smaller in _AMOUNTS)
        or (_ENDS_WITH_INITIAL.search(before) and _STARTS_WITH_NAME.match(after))
    )
