"""Read formulas in MathML that have no alternative text."""

from __future__ import annotations

from lxml import etree

from pipeline.text.readers.epub.parsing import tag_of

_SIGNS = {
    "+": "plus", "-": "minus", "−": "minus", "±": "plus or minus", "=": "equals", "×": "times", "·": "times",
    "⋅": "times", "∗": "times", "*": "times", "÷": "divided by", "/": "over", "<": "is less than",
    ">": "is greater than", "≤": "is at most", "≥": "is at least", "≠": "is not equal to", "≈": "is about",
    "→": "to", "∈": "in", "∞": "infinity", "√": "square root of", "%": "percent", "!": "factorial", "∫": "integral of",
    "∑": "sum of", "∏": "product of", "°": "degrees", "π": "pi", "…": "and so on", "⁢": "", "⁡": "of",
    "(": ",", ")": ",", "[": ",", "]": ",", ",": ",", "|": ",", "\u2063": ",",
}  # fmt: skip
_POWERS = {"2": "squared", "3": "cubed"}
_ROWS = ("math", "mrow", "mstyle", "mpadded", "semantics", "mtd", "merror")


def read_formula(element: etree._Element) -> str | None:
    """Return the words of a formula; None: it has an element that cannot be read, such as a matrix."""
    tag = tag_of(element)
    if tag in ("mi", "mn", "mtext", "ms"):
        return " ".join("".join(map(str, element.itertext())).split()).translate({0x3C0: "pi"})
    if tag == "mo":
        sign = "".join(map(str, element.itertext())).strip()
        return _SIGNS.get(sign, sign if sign.isalpha() else None)
    children = [child for child in element if tag_of(child) and not tag_of(child).startswith("annotation")]
    parts = [read_formula(child) for child in children]
    if tag in ("mspace", "mphantom", "none"):
        return ""
    if any(part is None for part in parts):
        return None
    words = [part or "" for part in parts]
    if tag in _ROWS:
        return _joined(words)
    if tag == "mfrac" and len(words) == 2:
        return f"{words[0]} over {words[1]}"
    if tag == "msup" and len(words) == 2:
        power = _POWERS.get(words[1])
        return f"{words[0]} {power}" if power else f"{words[0]} to the power of {words[1]}"
    if tag == "msub" and len(words) == 2:
        return f"{words[0]} {words[1]}"
    if tag == "msqrt":
        return f"square root of {_joined(words)}"
    if tag == "mfenced":
        return f", {_joined(words)},"
    return None


def _joined(words: list[str]) -> str:
    return " ".join(filter(None, words)).replace(" ,", ",").strip(" ,")
