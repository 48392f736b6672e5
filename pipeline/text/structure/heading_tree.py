"""Tell parts, chapters, sections and the book's title apart by the levels of headings.

For formats whose headings have levels: Markdown and EPUB. The headings form a tree. From the outermost ones down, each
heading with others below it is either a part with chapters, or a chapter with sections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.text.structure.blocks import Block, Role, display_title
from pipeline.text.structure.headings import Candidate, HeadingKind, classify_heading, is_contents

# Share of its text that a chapter has directly below its heading, before the first section. With less, the heading is a
# part with an epigraph or a subtitle.
_MIN_OWN_SHARE = 0.05
_MAX_TIMES = 2  # times as many sections, or as long, as the chapters beside it; with more, a heading is a part


@dataclass
class _Node:
    """A heading, and those below it."""

    position: int  # index of its block
    level: int
    title: str = ""
    own_length: int = 0  # characters of text before the next heading
    length: int = 0  # characters of text, with that of its children
    children: list[_Node] = field(default_factory=list)

    @property
    def has_own_text(self) -> bool:
        return self.own_length > 0 and self.own_length >= _MIN_OWN_SHARE * self.length

    @property
    def found(self) -> Candidate | None:
        return classify_heading(self.title)

    @property
    def kind(self) -> HeadingKind | None:
        return None if self.found is None else self.found.kind


def assign_roles(text: str, blocks: list[Block]) -> list[Block]:
    """Return the blocks with the roles of headings; a heading "Contents" with only links below it is left out."""
    result = list(blocks)
    headings = [i for i, block in enumerate(blocks) if block.level and block.role in (Role.SECTION, Role.TEXT)]
    kept = []
    for i, until in zip(headings, [*headings[1:], len(blocks)], strict=False):
        below = [each for each in blocks[i + 1 : until] if each.reason != "markup"]
        if is_contents(text[blocks[i].start : blocks[i].end]) and below and all(b.role is Role.SKIP for b in below):
            result[i] = replace(blocks[i], role=Role.SKIP, reason="table of contents", level=0, title="")
        else:
            kept.append(i)
    roots = _tree(text, blocks, kept)
    if roots and _is_book_title(roots, kept):
        _make_sections(result, roots[:1], keep_first=True)
        roots = roots[0].children
    _assign(result, roots)
    return result


def leading_title(text: str, blocks: list[Block]) -> str:
    """Return the first heading if it is the book's title, with all others below it; else ""."""
    headings = [i for i, block in enumerate(blocks) if block.level]
    opening = next((block for block in blocks if block.role is not Role.SKIP), None)
    if len(headings) < 2 or blocks[headings[0]] is not opening:
        return ""
    if any(blocks[i].level <= opening.level for i in headings[1:]):
        return ""
    title = display_title(text[opening.start : opening.end])
    return "" if _is_chapter_title(title) else title


def _is_chapter_title(title: str) -> bool:
    found = classify_heading(title)
    return found is not None and found.kind in (HeadingKind.NAMED, HeadingKind.CHAPTER, HeadingKind.PART)


def _is_book_title(roots: Sequence[_Node], headings: Sequence[int]) -> bool:
    """Return whether the first heading is the book's title: all others are below it, and it is not "Chapter 1"."""
    return len(roots) == 1 and len(headings) > 1 and not _is_chapter_title(roots[0].title)


def _tree(text: str, blocks: Sequence[Block], headings: Sequence[int]) -> list[_Node]:
    root = _Node(-1, 0)
    above = [root]
    for i, until in zip(headings, [*headings[1:], len(blocks)], strict=False):
        block = blocks[i]
        own = sum(each.end - each.start for each in blocks[i + 1 : until] if each.role is Role.TEXT)
        node = _Node(i, block.level, display_title(block.title or text[block.start : block.end]), own)
        while above[-1].level >= node.level:
            done = above.pop()
            done.length += done.own_length
            above[-1].length += done.length
        above[-1].children.append(node)
        above.append(node)
    while len(above) > 1:
        done = above.pop()
        done.length += done.own_length
        above[-1].length += done.length
    return root.children


def _assign(result: list[Block], roots: Sequence[_Node]) -> None:
    """Give the blocks of headings their roles."""
    waiting: list[tuple[Sequence[_Node], str]] = [(roots, "")]
    while waiting:
        siblings, part = waiting.pop()
        with_children = [node for node in siblings if node.children]
        whole = [len(node.children) for node in with_children if node.has_own_text]
        max_sections = _MAX_TIMES * max(whole) if len(whole) * 2 >= len(with_children) and whole else 0
        longest = max((node.length for node in siblings if not node.children and node.own_length), default=0)
        for node in siblings:
            block = result[node.position]
            is_part = bool(node.children) and _is_part(node, max_sections, longest)
            if block.role is Role.TEXT:
                result[node.position] = replace(block, title=node.title, part=part)
            else:
                result[node.position] = replace(block, role=Role.PART if is_part else Role.CHAPTER, part=part)
            if is_part:
                waiting.append((node.children, f"{part}, {node.title}" if part else node.title))
            else:
                _make_sections(result, node.children)


def _make_sections(result: list[Block], nodes: Sequence[_Node], *, keep_first: bool = False) -> None:
    """Make these headings, and those below them unless `keep_first`, headings inside a chapter."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        result[node.position] = replace(result[node.position], title="", part=None)
        waiting += [] if keep_first else node.children


def _is_part(node: _Node, max_sections: int, longest: int) -> bool:
    """Return whether a heading with others below it is a part, and not a chapter with sections.

    Args:
        node: The heading.
        max_sections: Number of headings below it that may be sections, given the chapters beside it.
        longest: Characters of the longest chapter beside it without sections.
    """
    has_chapters = sum(child.kind is HeadingKind.CHAPTER for child in node.children) * 2 >= len(node.children)
    if node.kind is HeadingKind.CHAPTER or has_chapters:
        return has_chapters
    if node.kind is HeadingKind.PART:
        return True
    if node.has_own_text or len(node.children) <= max_sections:
        return False
    is_numbered = all(
        child.found is not None and child.found.is_bare for child in node.children
    )  # a story in I, II, III
    return not is_numbered or node.length > _MAX_TIMES * longest
