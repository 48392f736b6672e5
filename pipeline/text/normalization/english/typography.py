"""Rules for typography: special characters, remains of Markdown and HTML, quotes, dashes, spaces.

After the last rule, a text has straight quotes, "-" inside words, " - " for a dash, "..." for an ellipsis, ASCII
digits, and only symbols that `symbols` can read.
"""

from __future__ import annotations

import html
import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

from pipeline.text.normalization.english.money import CURRENCY_SIGNS
from pipeline.text.normalization.english.words import before
from pipeline.text.normalization.invisible import drop_invisible

# Characters that NFKC leaves unchanged, or replaces wrongly.
_FOLDED = {
    **dict.fromkeys("‘’‚‛′ʼ´", "'"),
    **dict.fromkeys("“”„‟″«»〝〞", '"'),
    **dict.fromkeys("‐‑⁃−﹣", "-"),  # hyphens and the minus sign
    **dict.fromkeys("–‒", "–"),
    **dict.fromkeys("—―⸺⸻", "—"),
    **dict.fromkeys("⁄∕", "/"),
    **dict.fromkeys("″ʺ", '"'),
    **dict.fromkeys("™®℠℗†‡", ""),
    "×": " times ",
    "÷": " divided by ",
    "±": " plus or minus ",
    "≈": " approximately ",
    "≠": " is not equal to ",
    "≤": "<=",
    "⩽": "<=",
    "≥": ">=",
    "⩾": ">=",
    "♯": " sharp",
    "♭": " flat",
    "♮": " natural",
    "∆": " delta ",
    "∑": " sum ",
    "∴": " therefore ",
    "√": " square root of ",
    "∞": " infinity ",
    "→": " to ",
    "№": "No. ",
}
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_RAISED_RUN = re.compile(r"[⁺⁻]?(?:[⁰¹²³⁴⁵⁶⁷⁸⁹]+|ⁿ(?!ᵈ))")
_LOWERED_LETTERS = re.compile(r"(?<=\w)[ₐₑₒₓₔₕₖₗₘₙₚₛₜᵢⱼᵣᵤᵥ]+")
_NUMERO = re.compile(r"\b([Nn])[º°]s?\.? ?(?=\d)")
_SAYABLE_SYMBOLS = CURRENCY_SIGNS | frozenset("°¢§©¶‰·")
_NON_ASCII = re.compile(r"[^\x00-\x7f]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")


def fold_characters(text: str) -> str:
    r"""Replace characters by plain ones: quotes, ligatures, full-width and other digits.

    Letters of all scripts stay; pictures and invisible characters are removed.

    >>> fold_characters("“ﬁne”\u200b, ３½ km²")
    '"fine", 3 1/2 km^2'
    """
    # A hyphen at the end of a line is part of the word.
    text = drop_invisible(text)
    text = re.sub(r"(?<=[^\W\d_])-\r?\n[ \t]*(?=[^\W\d_])", "-", text)
    text = _CONTROL.sub("", text)
    if text.isascii():
        return text
    text = _RAISED_RUN.sub(lambda match: "^" + "".join(map(_RAISED.__getitem__, match[0])), text)
    text = _LOWERED_LETTERS.sub(r" \g<0>", _NUMERO.sub(r"\1o. ", text))
    return unicodedata.normalize("NFC", _NON_ASCII.sub(_fold_match, text))


def _fold_match(match: re.Match[str]) -> str:
    folded = _fold(match[0])
    if len(folded) > 1 and "/" in folded and before(match, 1).isalnum():  # "3½" is three and a half, not 31/2
        return f" {folded}"
    return folded


@lru_cache(maxsize=4096)
def _fold(char: str) -> str:
    if char in _FOLDED:
        return _FOLDED[char]
    category = unicodedata.category(char)
    if char.isspace() or category == "Sk":  # an accent without a letter
        return " "
    if category == "Me" or "\ufe00" <= char <= "\ufe0f":  # turns the character before it into a picture
        return ""
    if category in ("Nd", "No", "Nl"):
        return _digits_of(char)
    compatible = unicodedata.normalize("NFKC", char)
    if compatible != char:
        return "".join(part if part.isascii() else _fold(part) for part in compatible)
    if category[0] in "LM" or char in _SAYABLE_SYMBOLS:
        return char
    return " " if category[0] in "ZPS" else ""


def _digits_of(char: str) -> str:
    if char.isdigit():
        return str(unicodedata.digit(char))
    value = Fraction(unicodedata.numeric(char)).limit_denominator(1000)
    return str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"


def fold_spaces(text: str) -> str:
    r"""Replace line breaks and runs of white space by single spaces.

    >>> fold_spaces(" a single\n man ")
    'a single man'
    """
    return " ".join(text.split())


# A tag of HTML, or another word in angle brackets; "x<y and y>z" contains none.
_HTML = (
    r"a|abbr|b|big|blockquote|body|br|center|cite|code|dd|del|div|dl|dt|em|font|h[1-6]|head|hr|html|i|img|ins|kbd|li|mark|"
    r"ol|p|pre|q|rp|rt|ruby|s|small|span|strike|strong|sub|sup|table|tbody|td|th|title|tr|tt|u|ul|var"
)
_TAG = re.compile(
    rf"</?(?:(?i:{_HTML})(?:\s[^<>=]{{0,80}}=[^<>]{{0,200}})?|[A-Za-z][A-Za-z0-9]{{0,10}}\s[^<>=]{{0,80}}=[^<>]{{0,200}})\s?/?>"
    r"|(?<!\w)</?[A-Za-z][\w-]{0,20}\s?/?>"
)
_ENTITY = re.compile(r"&(?:#\d{1,6}|#x[0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});")


def drop_html(text: str) -> str:
    """Remove HTML tags, and decode entities.

    >>> drop_html("<i>Tom</i> &amp; Jerry<br/>ran")
    'Tom & Jerry ran'
    """
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return _TAG.sub(lambda match: " " if match[0][:3].lower() == "<br" else "", text) if "<" in text else text


_LINK = re.compile(r"!?\[([^\[\]]{0,500})\]\(([^()\s]{1,500})(?: \"[^\"]{0,200}\")?\)")


def unwrap_links(text: str) -> str:
    """Replace a link or picture of Markdown by its text.

    >>> unwrap_links("See [the map](http://x.org/a) and ![a cat](cat.png).")
    'See the map and a cat.'
    """
    if "](" not in text:
        return text
    return _LINK.sub(lambda match: match[1].strip() or match[2], text)


# The mark of a footnote follows a word or its punctuation; "[1]" at the start of a note is its number.
_NOTE_MARK = re.compile(
    r"(?<=[^\W\d_])([.,;:!?\"')]{0,3})(?:\[(?:\d{1,3}|[A-Z]|\^\w{1,20}|\*{1,3}|[Nn]ote \d{1,3})\])+"
)
_RAISED_MARK = re.compile(r"(?<=[^\W\d_]{3})([.,;:!?\"')]{0,3})\^\d{1,3}(?![\w/])")


def drop_note_marks(text: str) -> str:
    """Remove the marks of footnotes.

    >>> drop_note_marks("He left.[12] She wept,[^3] and sighed[*] in vain.^4")
    'He left. She wept, and sighed in vain.'
    """
    if "[" in text:
        text = _NOTE_MARK.sub(r"\1", text)
    return _RAISED_MARK.sub(r"\1", text) if "^" in text else text


# Sounds in brackets, as in transcripts; they are not words of the speaker.
_SOUNDS = (
    r"laugh(?:s|ing|ter)?|chuckles?|giggles?|coughs?|coughing|sneezes?|sighs?|breath(?:s|es|ing)?|inhales?|exhales?|gasps?|"
    r"clears throat|sniffs?|noises?|background noises?|music|applause|clapping|cheering|crosstalk|cross talk|inaudible|"
    r"unintelligible|indiscernible|silence|static|beeps?|lip[ -]smack|vocali[sz]ed[ -]noise|foreign language"
)
_SOUND_TAG = rf"\[(?:{_SOUNDS})(?: [a-z]{{1,12}}){{0,2}}[.!]?\]"
_TAGGED_SOUND = re.compile(rf"(?<!\S){_SOUND_TAG} ?|{_SOUND_TAG}", re.IGNORECASE)


def drop_transcript_tags(text: str) -> str:
    """Remove sounds in brackets, as in transcripts.

    >>> drop_transcript_tags("[laughs] so funny[coughs] it is [MUSIC PLAYING] [sic]")
    'so funny it is [sic]'
    """
    return _TAGGED_SOUND.sub("", text) if "[" in text else text


_CODE = re.compile(r"`{1,3}([^`]{1,500})`{1,3}")
_STARS = re.compile(r"(?<![\w*])(\*{1,3}|~~)(?=[^\s*~])([^*~]{1,2000}?)(?<=[^\s*~])\1(?![*~])")
_INNER_STARS = re.compile(r"(?<=\w)(\*{1,2})([^\W\d_]{1,50})\1(?![*])")
_UNDERSCORES = re.compile(r"(?<![^\W_])_{1,3}(?=[^\s_])([^_]{1,2000}?)(?<=[^\s_])_{1,3}(?![^\W_])")


def unwrap_emphasis(text: str) -> str:
    """Remove the signs of emphasis and of code; replace the opening quotes of TeX.

    >>> unwrap_emphasis("_You_ want to tell me, **and** I ~~hate~~ *love* it, `ls` un*bloody*believable.")
    'You want to tell me, and I hate love it, ls unbloodybelievable.'
    """
    if "`" in text:
        text = _CODE.sub(r"\1", text).replace("``", '"').replace("`", "'")
    if "*" in text or "~~" in text:
        text = _STARS.sub(r"\2", text)
        text = _INNER_STARS.sub(r"\2", text)
    return _UNDERSCORES.sub(r"\1", text) if "_" in text else text


_BLANK = re.compile(r"(?<![^\s\"'(])(?:-{4,}|—{2,})(?=(shire)?([^\W_])?[\w\s,.;:!?'])")
_HIDDEN_NAME = re.compile(r"\b([A-HJ-Z])(?:-{3,}|—{2,})(?=[\s.,;:!?'])")
_EN_DASH_INSIDE = re.compile(r"(?<=\w)–(?=[\w$£€])|(?<=[.%°])–(?=[\d$£€])|(?<=\d) – (?=\d)")
# Words beside which an en dash is a pause and not a hyphen: "Wait–what?", "it was–I think–late".
_PAUSING = (
    r"I|you|he|she|it|we|they|him|her|them|me|us|my|his|its|their|our|who|what|why|how|when|where|which|that|this|these|"
    r"those|there|here|then|the|an?|and|but|or|nor|so|yet|if|as|though|because|not|no|yes|oh|ah|well|wait|stop|please|"
    r"is|was|are|were|be|am|had|has|have|do|did|does|will|would|could|should|can|very|even|only|just|perhaps|never"
)
_PAUSE = re.compile(rf"\b({_PAUSING})–(?=\w)|(?<=[a-z])–(?=(?:{_PAUSING})\b)", re.IGNORECASE)
_DASH = re.compile(r" ?(?:[–—]|-{2,})[–—-]* ?| - ")
_ARROW = re.compile(r" ?(?<![-=<])(?:-{1,2}|=)> ?")
_CLOSING = re.compile(r"[\"')](?!\w)")
_DASH_AT_START = re.compile(r"(^|^[\"']|(?<= )[\"']) - ")


def plain_dashes(text: str) -> str:
    """Replace dashes by " - ", in compounds and ranges by "-", and dashes for a hidden name by "blank".

    Commas would be mixed up with those of the sentence and sound like a list. No later rule changes a hyphen between
    spaces.

    >>> plain_dashes("Yes--he--said: 'no--'")
    "Yes - he - said: 'no -'"
    >>> plain_dashes("1914–18; Lady B—— of the ----shire Militia.")
    '1914-18; Lady B of the blankshire Militia.'
    """
    if ">" in text:
        text = _ARROW.sub(" to ", text)
    if "--" not in text and "–" not in text and "—" not in text:
        return text
    if "---" in text or "——" in text:
        text = _BLANK.sub(lambda match: "blank " if match[2] and not match[1] else "blank", text)
        text = _HIDDEN_NAME.sub(r"\1", text)
    if "–" in text:
        text = _EN_DASH_INSIDE.sub("-", _PAUSE.sub(r"\1 - ", text))
    return _DASH_AT_START.sub(r"\1", _DASH.sub(_dash, text)).strip()


def _dash(match: re.Match[str]) -> str:
    closes = not match[0].endswith(" ") and _CLOSING.match(match.string, match.end())
    return " -" if closes else " - "


_ELLIPSIS = re.compile(r" ?\.(?: ?\.){2,}")


def plain_ellipses(text: str) -> str:
    """Replace each ellipsis by three full stops.

    >>> plain_ellipses("Well . . . . no...yes")
    'Well... no... yes'
    """
    if ".." not in text and ". ." not in text:
        return text
    return re.sub(r"\.\.\.(?=\w)", "... ", _ELLIPSIS.sub("...", text))
