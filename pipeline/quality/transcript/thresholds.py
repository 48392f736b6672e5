"""Limits of the verdict, for each recogniser and language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.text.spoken_form import base_language

__all__ = ["Thresholds", "find_thresholds"]


@dataclass(frozen=True)
class Thresholds:
    """Limits of the verdict. The defaults are those of tiny.en, fixed on clips of the voices that ship."""

    alike: float = 0.55  # similarity of sound at which another word counts as misheard
    alike_name: float = 0.3  # likewise, of names
    evidence: float = 5.0  # log probability ratio at which words count as left out
    evidence_end: float = 4.0  # likewise, after the last word that was heard
    evidence_swapped: float = 1.0  # likewise, as swapped
    shorter: float = 0.72  # letters heard in place of others, of those there are: less means that sounds are missing
    shorter_letters: int = 5  # of the prompt in such a place, at least
    evidence_shorter: float = 9.0  # likewise, where such a shorter stretch was heard
    evidence_wrong: float = 18.0  # likewise, where other words as long were heard: most are misheard
    evidence_one_word: float = 25.0  # likewise, where one word was heard as another one
    evidence_added: float = 16.0  # likewise, where one word was added
    doubt_share: float = 0.75  # of these limits: where doubt begins
    surplus_words: int = 2  # heard more than there are: added, whatever the scores
    longer: float = 1.4  # and letters heard, of those there are, in such a place
    least_word_seconds: float = 0.2  # time between heard words, for each one that is missing there, that
    gap_factor: float = 2.0  # makes so much more evidence needed: it may have been spoken
    divergent_words: int = 8  # in a run: no recogniser mishears so many
    babble_seconds: float = 0.6  # after the end of the prompt, that hold speech
    babble_probability: float = 0.5  # mean of the words there
    fastest_words: float = 7.0  # a second; more are made up by the recogniser
    word_seconds: float = 0.35  # of a word, where the recogniser gives no times
    longest_word_seconds: float = 0.85  # of a word: what is longer is more than that word; and for each letter of it
    longest_letter_seconds: float = 0.08
    endless_seconds: float = 4.0  # a clip is endless with more than this,
    slowest_word_seconds: float = 1.0  # and this for each word
    no_speech: float = 0.6  # probability that nobody speaks, at which words are not believed
    short_words: int = 2  # prompts this short are never judged to be wrong, only silent or endless
    runaway_words: int = 4  # heard more than such a prompt has: it is endless
    max_scored: int = 6  # deviations of a clip for which texts are scored


# By model and language. Log probabilities of a larger model differ more, so that its limits have to be measured anew
# (`scripts/checks/transcripts.py`); until then, those of tiny.en hold for it.
_MEASURED: Mapping[tuple[str, str], Thresholds] = {("tiny.en", "en"): Thresholds()}


def find_thresholds(model: str, language: str) -> Thresholds:
    """Return the limits for a model, by its name in the options, and the language that is spoken."""
    return _MEASURED.get((model, base_language(language)), Thresholds())
