"""Rules for text that is read character by character: web and e-mail addresses, names with an @, hashtags.

They run before all rules for words and numbers, so that those do not match a part of an address.
"""

from __future__ import annotations

import re

from pipeline.text.normalization.english.words import cardinal, digits, spell

_TOP_DOMAINS = "com|org|net|edu|gov|mil|int|info|biz|io|ai|dev|app|eu|uk|ca|au|de|fr|nl|ch|ie|nz|co|tv|xyz"
_HOST = rf"(?:[a-z0-9][a-z0-9-]{{0,62}}\.){{1,6}}(?:{_TOP_DOMAINS})\b(?!\.[a-z])(?![-@])"
_PATH = r"(?::\d{2,5})?(?:[/?#][^\s<>\"()\[\]]{0,500})?"
_EMAIL = re.compile(rf"(?<![\w.+-])(?:mailto:)?([\w][\w.+-]{{0,63}}@{_HOST})", re.IGNORECASE)
_DOT_INSIDE = re.compile(r"\.[A-Za-z]")
_URL = re.compile(rf"(?:\bhttps?://|\bftp://)[^\s<>\"()\[\]]{{1,600}}|(?<![\w@.-]){_HOST}{_PATH}", re.IGNORECASE)
_SIGNS = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "?": "question mark", "=": "equals"}
_SIGNS |= {"&": "and", "#": "hash", "%": "percent", "+": "plus", ":": "colon", "~": "tilde"}
_PARTS = re.compile(r"[^\W\d_]+|\d+|[./@?=&#%+:~_-]")


def read_addresses(text: str) -> str:
    """Read web and e-mail addresses character by character.

    >>> read_addresses("See https://www.example.com/a-b, or write to jane.doe7@example.co.uk.")
    'See w w w dot example dot com slash a dash b, or write to jane dot doe seven at example dot co dot uk.'
    """
    if "@" in text:
        text = _EMAIL.sub(lambda match: _spell(match[1]), text)
    return _URL.sub(_url, text) if "://" in text or _DOT_INSIDE.search(text) else text


def _url(match: re.Match[str]) -> str:
    address = match[0].rstrip(".,;:!?'*_")
    ending = match[0][len(address) :]
    bare = re.sub(r"^(?:https?|ftp)://", "", address, flags=re.IGNORECASE).rstrip("/")
    return (_spell(bare) or "link") + ending


def _spell(address: str) -> str:
    spoken = []
    for part in _PARTS.findall(address):
        if part.lower() == "www":
            spoken.append("w w w")
        elif part.isdigit():
            spoken.append(digits(part) if len(part) > 2 or part[0] == "0" else cardinal(int(part)))
        else:
            spoken.append(_SIGNS.get(part, part))
    return " ".join(spoken)


_HANDLE = re.compile(r"(?<![\w@])@(?=[^\W_])")
_COLOR = re.compile(r"(?<![\w&#])#(?=[0-9A-Fa-f]{0,5}\d)([0-9A-Fa-f]{6})\b")
_HASHTAG = re.compile(r"(?<![\w#&])#(?=[^\W\d_])")


def read_tags(text: str) -> str:
    """Read names with an @, hashtags, and colors of web pages.

    >>> read_tags("@jane wrote #reading in #FF0000")
    'at jane wrote hashtag reading in hash F F zero zero zero zero'
    """
    if "#" in text:
        text = _COLOR.sub(lambda match: f"hash {spell(match[1])}", text)
    if "@" in text:
        text = _HANDLE.sub("at ", text)
    return _HASHTAG.sub("hashtag ", text) if "#" in text else text
