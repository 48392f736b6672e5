"""How alike words sound: homophones, spellings of one word, names that a recogniser spells its own way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import jellyfish
from rapidfuzz.distance import JaroWinkler, Levenshtein

__all__ = ["same_sound", "similarity"]

_MIN_KEY = 3  # letters of a phonetic key that tell two words apart: those of "his" and "has" are the same two

# Homophones whose phonetic keys are short or differ. Metaphone finds the longer ones.
_HOMOPHONES = """
to too two|for four fore|by buy bye|no know|new knew|our hour|one won|eye i aye ay|be bee|see sea|here hear|son sun
right write rite wright|would wood|which witch|weather whether|whole hole|there their|your youre yore|its it is|o oh owe
heir air ere|rain reign rein|road rode rowed|so sew sow|week weak|meet meat|peace piece|wait weight|ate eight|days daze
made maid|male mail|pair pear pare|plain plane|poor pour pore|red read|sale sail|seen scene|some sum|steel steal
tail tale|through threw|way weigh|wear where ware|not knot|night knight|hi high|lie lye|dear deer|fair fare
great grate|hair hare|him hymn|in inn|lead led|led lead|past passed|sent cent scent|soul sole|stair stare|than then
who whom|well will|a an|or ore oar|yes yeah|ay eh|mary marry merry|mam maam|farther further
forego forgo|hurray hooray|ah o|ha ah
""".replace("\n", "|")


@lru_cache(maxsize=1)
def _groups() -> dict[str, frozenset[int]]:
    groups: dict[str, set[int]] = {}
    for number, line in enumerate(_HOMOPHONES.split("|")):
        for word in line.split():
            groups.setdefault(word, set()).add(number)
    return {word: frozenset(numbers) for word, numbers in groups.items()}


def same_sound(reference: Sequence[str], hypothesis: Sequence[str]) -> bool:
    """Return whether two runs of words sound the same, however they are spelled, joined or separated.

    The phonetic keys are those of English; words with other letters than those of ASCII have none.
    """
    first, second = "".join(reference), "".join(hypothesis)
    if first == second:
        return True
    if len(reference) == len(hypothesis) == 1 and _groups().get(first, frozenset()) & _groups().get(
        second, frozenset()
    ):
        return True
    if _is_written_out(reference, hypothesis) or _is_written_out(hypothesis, reference):
        return True
    key, other = _key(first), _key(second)
    return len(key) >= _MIN_KEY and key == other


def similarity(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Return how alike two runs of words sound, from 0 to 1: the better of their phonetic keys and spellings."""
    first, second = "".join(reference), "".join(hypothesis)
    if not first or not second:
        return 0.0
    keys = Levenshtein.normalized_similarity(_key(first), _key(second)) if _key(first) and _key(second) else 0.0
    spelling = Levenshtein.normalized_similarity(first, second)
    return float(max(0.5 * (keys + spelling), spelling, 0.85 * JaroWinkler.similarity(first, second)))


def _is_written_out(short: Sequence[str], long: Sequence[str]) -> bool:
    """Return whether one is "its", "hed" (it's, he'd) and the other one "it is", "he would"."""
    if len(short) != 1 or len(long) != 2:
        return False
    word, ending = short[0], long[1]
    return (word == long[0] + "s" and ending in ("is", "has", "us")) or (
        word == long[0] + "d" and ending in ("had", "would")
    )


@lru_cache(maxsize=65_536)
def _key(word: str) -> str:
    return str(jellyfish.metaphone(word)).replace(" ", "") if word.isascii() else ""
