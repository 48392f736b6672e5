"""What style sheets say that matters to a listener: what is hidden, what is raised, what stands on a line of its own.

Only selectors of one element with a class or an id are known. A rule that is not understood changes nothing: its words
are spoken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_COMMENT = re.compile(r"/\*(?:.*?\*/|.*\Z)", re.S)
_SELECTOR = re.compile(r"(?P<tag>[a-z][\w-]*)?(?P<parts>(?:[.#][\w-]+)+)", re.I)
_MEDIA_TYPE = re.compile(r"\s*(?P<no>not\s+)?(?:only\s+)?(?P<type>[a-z][\w-]*)?", re.I)
_MAX_RULES = 100  # that end with one class: more are only found where somebody means harm
_SHOWN = ("all", "screen")
_BLOCKS = ("block", "flex", "grid", "list-item", "table", "table-caption", "table-cell", "table-row")
_RAISED = re.compile(r"super|text-top|(?!0)[\d.]+(?:em|ex|rem|%|pt|px)")


@dataclass(frozen=True)
class Look:
    """What is known of how an element looks; None: nothing."""

    is_hidden: bool | None = None
    is_raised: bool | None = None
    is_block: bool | None = None

    def __or__(self, later: Look) -> Look:
        return Look(
            self.is_hidden if later.is_hidden is None else later.is_hidden,
            self.is_raised if later.is_raised is None else later.is_raised,
            self.is_block if later.is_block is None else later.is_block,
        )


@dataclass
class Styles:
    """The rules of a page's style sheets, by the last class or id of their selector."""

    rules: dict[str, dict[tuple[str, frozenset[str]], tuple[int, Look]]] = field(default_factory=dict)
    num_rules: int = 0

    def add(self, sheet: str) -> None:
        """Add the rules of one style sheet; later ones win."""
        for selectors, declarations in _rules(_COMMENT.sub(" ", sheet)):
            look = look_of(declarations)
            if look == Look():
                continue
            for selector in selectors.split(","):
                found = _SELECTOR.fullmatch(selector.strip())
                if found:
                    parts = re.findall(r"[.#][\w-]+", found["parts"])
                    selected = ((found["tag"] or "").lower(), frozenset(parts))
                    rules = self.rules.setdefault(parts[-1], {})
                    if selected in rules or len(rules) < _MAX_RULES:
                        self.num_rules += 1
                        earlier = rules[selected][1] if selected in rules else Look()
                        rules[selected] = (self.num_rules, earlier | look)

    def look(self, tag: str, classes: str, name: str, style: str) -> Look:
        """Return what the rules say of an element."""
        result = Look()
        if self.rules and (classes or name):
            own = {f".{each}" for each in classes.split()} | ({f"#{name}"} if name else set())
            found = [
                (len(parts), number, look)
                for part in own & self.rules.keys()
                for (its_tag, parts), (number, look) in self.rules[part].items()
                if its_tag in ("", tag) and parts <= own
            ]
            for _, _, look in sorted(found, key=lambda rule: rule[:2]):  # the more special, then the later rule wins
                result |= look
        return result | look_of(style) if style else result


def look_of(declarations: str) -> Look:
    """Return what the declarations between two braces, or of a style attribute, say."""
    values = {}
    for declaration in declarations.lower().split(";"):
        name, _, value = declaration.partition(":")
        values[name.strip()] = value.replace("!important", "").strip()
    display, align = values.get("display", ""), values.get("vertical-align", "")
    hidden = {"none": True}.get(display, False if display else None)
    if values.get("visibility") in ("hidden", "collapse"):
        hidden = True
    return Look(hidden, bool(_RAISED.fullmatch(align)) if align else None, display in _BLOCKS if display else None)


def applies(media: str) -> bool:
    """Return whether a style sheet for these media counts for a reader with a screen.

    >>> [applies(media) for media in ("", "screen and (color)", "print", "amzn-mobi", "not amzn-mobi")]
    [True, True, False, False, True]
    """
    for query in media.split(","):
        found = _MEDIA_TYPE.match(query)
        kind = (found["type"] or "all").lower() if found else "all"
        if (kind in _SHOWN) != bool(found and found["no"]):
            return True
    return False


def _rules(sheet: str) -> Iterator[tuple[str, str]]:
    """Yield selectors and declarations of all rules that count, also of those in blocks such as `@media screen`."""
    blocks: list[bool] = []  # of the open @-blocks, whether their rules count
    selectors = ""
    parts = re.split(r"([{}])", sheet)
    for before, brace in zip(parts[::2], parts[1::2], strict=False):
        words = before.rpartition(";")[2].strip() if brace == "{" else before
        if brace == "}":
            if selectors:
                yield selectors, words
                selectors = ""
            elif blocks:
                blocks.pop()
        elif words.startswith("@"):
            kind, _, rest = words[1:].partition(" ")
            blocks.append(all(blocks) and kind in ("media", "supports", "layer") and (kind != "media" or applies(rest)))
        elif all(blocks):
            selectors = words
        else:
            blocks.append(False)  # a rule that does not count: its closing brace ends it
