"""Style sheets of EPUB pages, as far as they matter for speech: which elements are hidden, raised or blocks.

Only selectors of one element with classes or ids are read; rules with other selectors are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_COMMENT = re.compile(r"/\*(?:.*?\*/|.*\Z)", re.S)
_SELECTOR = re.compile(r"(?P<tag>[a-z][\w-]*)?(?P<parts>(?:[.#][\w-]+)+)", re.I)
_MEDIA_TYPE = re.compile(r"\s*(?P<no>not\s+)?(?:only\s+)?(?P<type>[a-z][\w-]*)?", re.I)
_MAX_RULES = 100  # for one class or id; more are only found in hostile files
_SHOWN = ("all", "screen")
_BLOCKS = ("block", "flex", "grid", "list-item", "table", "table-caption", "table-cell", "table-row")
_RAISED = re.compile(r"super|text-top|(?!0)[\d.]+(?:em|ex|rem|%|pt|px)")


@dataclass(frozen=True)
class Style:
    """The properties of an element that are read; None: not set."""

    is_hidden: bool | None = None
    is_raised: bool | None = None
    is_block: bool | None = None

    def __or__(self, later: Style) -> Style:
        return Style(
            self.is_hidden if later.is_hidden is None else later.is_hidden,
            self.is_raised if later.is_raised is None else later.is_raised,
            self.is_block if later.is_block is None else later.is_block,
        )


@dataclass
class StyleSheets:
    """The rules of all style sheets of a page, by the last class or id of their selector."""

    rules: dict[str, dict[tuple[str, frozenset[str]], tuple[int, Style]]] = field(default_factory=dict)
    num_rules: int = 0

    def add(self, sheet: str) -> None:
        """Add the rules of one style sheet; later ones win."""
        for selectors, declarations in _rules(_COMMENT.sub(" ", sheet)):
            style = parse_declarations(declarations)
            if style == Style():
                continue
            for selector in selectors.split(","):
                found = _SELECTOR.fullmatch(selector.strip())
                if found:
                    parts = re.findall(r"[.#][\w-]+", found["parts"])
                    selected = ((found["tag"] or "").lower(), frozenset(parts))
                    rules = self.rules.setdefault(parts[-1], {})
                    if selected in rules or len(rules) < _MAX_RULES:
                        self.num_rules += 1
                        earlier = rules[selected][1] if selected in rules else Style()
                        rules[selected] = (self.num_rules, earlier | style)

    def style_of(self, tag: str, classes: str, name: str, attribute: str) -> Style:
        """Return the style of an element.

        Args:
            tag: Its tag.
            classes: Its class attribute.
            name: Its id; "": it has none.
            attribute: Its style attribute; "": it has none.
        """
        result = Style()
        if self.rules and (classes or name):
            own = {f".{each}" for each in classes.split()} | ({f"#{name}"} if name else set())
            found = [
                (len(parts), number, style)
                for part in own & self.rules.keys()
                for (its_tag, parts), (number, style) in self.rules[part].items()
                if its_tag in ("", tag) and parts <= own
            ]
            for _, _, style in sorted(found, key=lambda rule: rule[:2]):  # the more specific, then the later rule wins
                result |= style
        return result | parse_declarations(attribute) if attribute else result


def parse_declarations(declarations: str) -> Style:
    """Parse the declarations of a rule or of a style attribute."""
    values = {}
    for declaration in declarations.lower().split(";"):
        name, _, value = declaration.partition(":")
        values[name.strip()] = value.replace("!important", "").strip()
    display, align = values.get("display", ""), values.get("vertical-align", "")
    hidden = {"none": True}.get(display, False if display else None)
    if values.get("visibility") in ("hidden", "collapse"):
        hidden = True
    return Style(hidden, bool(_RAISED.fullmatch(align)) if align else None, display in _BLOCKS if display else None)


def applies(media: str) -> bool:
    """Return whether a media query list includes screens.

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
    """Yield the selectors and declarations of all rules that apply, also of those in blocks such as `@media screen`."""
    blocks: list[bool] = []  # whether the rules of each open @-block apply
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
            blocks.append(False)  # a rule that does not apply, up to its closing brace
