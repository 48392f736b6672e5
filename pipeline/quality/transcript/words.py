"""Words in the form in which two texts are compared.

Both the reference (the prompt) and the hypothesis (what a recogniser wrote) pass through `split_words`: numbers and
abbreviations become the words that are spoken, contractions are written out, hyphens separate words, marks and case go.
What sounds the same but is spelled otherwise is left to `sounds`.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rapidfuzz.distance import Levenshtein

from pipeline.quality.transcript.recognizer import HeardWord, Transcript
from pipeline.text.spoken_form import base_language, spoken_form

__all__ = ["Word", "heard_words", "split_words", "stretches"]

MAX_CHARACTERS = 20_000  # of a text that are compared; nobody speaks more in one clip, and a recogniser may loop

# Python's \w has no vowel signs and no joiners, which are inside words of Hindi, Arabic or Persian.
_MARKS = (
    "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code))[0] == "M") + "\u200c\u200d"
)
_TOKEN = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}])*(?:['’ʼ](?:[^\W_]|[{_MARKS}])+)*['’ʼ]?")
_LETTER = re.compile(rf"[^\W_][{_MARKS}]*")
# Scripts without spaces between words: each character is compared as one.
_SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")

_CONTRACTIONS = {
    "won't": "will not", "can't": "can not", "cannot": "can not", "shan't": "shall not", "ain't": "is not",
    "let's": "let us", "y'all": "you all", "gonna": "going to", "wanna": "want to", "gotta": "got to",
    "'tis": "it is", "tis": "it is", "'twas": "it was", "twas": "it was", "o'clock": "oclock", "o'": "of",
}  # fmt: skip
_ENDINGS = (("n't", " not"), ("'m", " am"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"))
_SPELLINGS = {
    "ok": "okay", "mr": "mister", "mrs": "missus", "ms": "miss", "dr": "doctor", "st": "saint", "percent": "per cent",
    "alright": "all right", "oh": "o", "aye": "ay", "yeah": "yes", "gray": "grey", "tire": "tyre", "curb": "kerb",
    "mom": "mum", "pajamas": "pyjamas", "aluminum": "aluminium", "anymore": "any more", "towards": "toward",
    "afterwards": "afterward", "backwards": "backward", "amongst": "among", "whilst": "while",
    "cheque": "check", "cheques": "checks",
}  # fmt: skip
_SCALE = re.compile(r"hundred|thousand|million|billion")
_NUMBER = re.compile(
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)(?:ty|tieth)|hundred|thousand|million|billion|first|second|third"
    r"|(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen)th"
)


@dataclass(frozen=True)
class Word:
    """A word as it is compared, and where it comes from."""

    form: str
    start: int  # offsets into the text, in characters; several words of one number share them
    end: int
    seconds: tuple[float, float] | None = None  # when it is spoken, if the recogniser says
    probability: float = 1.0


def split_words(text: str, language: str) -> tuple[Word, ...]:
    """Return the words of a text.

    Args:
        text: A prompt or a transcript; of a long one, the first `MAX_CHARACTERS` are read.
        language: Its tag, e.g. "en" or "en-GB". Only English has contractions, spellings and accents that may be left
            out; numbers are read in every language that has a normalizer.
    """
    text = text[:MAX_CHARACTERS]
    written = [(_fold(match.group()), *match.span()) for match in _tokens(text)]
    spoken = [_fold(match.group()) for match in _tokens(spoken_form(text, language, True))]
    is_english = base_language(language) == "en"
    words = [
        Word(form, start, end)
        for token, start, end in _place(written, spoken)
        for form in (_english(token) if is_english else (token.replace("'", ""),))
        if form
    ]
    return tuple(_without_and(words) if is_english else words)


def heard_words(transcript: Transcript, language: str) -> tuple[str, tuple[Word, ...]]:
    """Return the text of a transcript and its words, with their times where the recogniser gives some.

    The text is put together from the recogniser's words, so that the offsets of a word lead to its time.
    """
    if not transcript.words:
        return transcript.text, split_words(transcript.text, language)
    has_blanks = any(heard.text[:1].isspace() for heard in transcript.words)
    text, ends = "", []
    for heard in transcript.words:
        # " 85" and ",000" are one word; a recogniser whose words have no blanks at all gets one before each.
        joins = heard.text[:1].isspace() or not text or has_blanks
        text += heard.text if joins else " " + heard.text
        ends.append(len(text))
    words = split_words(text, language)
    return text, tuple(_timed(words, transcript.words, ends))


def stretches(forms: Sequence[str], others: Sequence[str]) -> Iterator[tuple[bool, int, int, int, int]]:
    """Yield equal and divergent stretches of two texts in turn: whether they are equal, and [first, last) of each."""
    open_first, open_other = 0, 0
    for step in Levenshtein.opcodes(forms, others):
        if step.tag != "equal":
            continue
        first, last, other_first, other_last = step.src_start, step.src_end, step.dest_start, step.dest_end
        if first > open_first or other_first > open_other:
            yield False, open_first, first, open_other, other_first
        yield True, first, last, other_first, other_last
        open_first, open_other = last, other_last
    if open_first < len(forms) or open_other < len(others):
        yield False, open_first, len(forms), open_other, len(others)


def _timed(words: Sequence[Word], heard: Sequence[HeardWord], ends: Sequence[int]) -> Iterator[Word]:
    """Give words their times. Words with one place in the text share its time by their lengths."""
    first = 0
    while first < len(words):
        place = (words[first].start, words[first].end)
        last = first
        while last < len(words) and (words[last].start, words[last].end) == place:
            last += 1
        sources = heard[bisect_right(ends, place[0]) : bisect_right(ends, place[1] - 1) + 1]
        start, end = sources[0].start, max(source.end for source in sources)
        probability = min(source.probability for source in sources)
        total, done = sum(len(word.form) for word in words[first:last]), 0
        for word in words[first:last]:
            bounds = [start + (end - start) * share / total for share in (done, done + len(word.form))]
            done += len(word.form)
            yield replace(word, seconds=(bounds[0], bounds[1]), probability=probability)
        first = last


def _tokens(text: str) -> Iterator[re.Match[str]]:
    for match in _TOKEN.finditer(text):
        if _SPACELESS.search(match.group()):
            yield from _LETTER.finditer(text, *match.span())
        else:
            yield match


def _fold(token: str) -> str:
    folded = unicodedata.normalize("NFKC", token).casefold().replace("’", "'").replace("ʼ", "'")
    return folded.replace("\u200c", "").replace("\u200d", "")


def _place(written: Sequence[tuple[str, int, int]], spoken: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yield each spoken token with its place in the written text: its own, or that of the tokens it stands for."""
    if not written:
        return
    for is_equal, first, last, spoken_first, spoken_last in stretches([token for token, _, _ in written], spoken):
        if is_equal:
            yield from written[first:last]
            continue
        around = written[first:last] or written[max(0, first - 1) : first + 1]
        for token in spoken[spoken_first:spoken_last]:
            yield token, around[0][1], around[-1][2]


def _english(token: str) -> tuple[str, ...]:
    """The words of a token: "don't" is do and not, "it's" is its."""
    token = "".join(letter for letter in unicodedata.normalize("NFKD", token) if not unicodedata.combining(letter))
    if token not in _CONTRACTIONS:
        token = token.rstrip("'")
    if token in _CONTRACTIONS:
        return tuple(_CONTRACTIONS[token].split())
    for ending, words in _ENDINGS:
        if token.endswith(ending) and len(token) > len(ending):
            return (token.removesuffix(ending).replace("'", ""), words.strip())
    token = token.replace("'", "")
    return tuple(_SPELLINGS.get(token, token).split())


def _without_and(words: Sequence[Word]) -> Iterator[Word]:
    """Leave out "and" inside a number: a hundred and five is a hundred five."""
    for index, word in enumerate(words):
        if word.form == "and" and 0 < index < len(words) - 1:
            before, after = words[index - 1].form, words[index + 1].form
            if _SCALE.fullmatch(before) and _NUMBER.fullmatch(after):
                continue
        yield word
