"""Limits of the verdict."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Thresholds"]


@dataclass(frozen=True)
class Thresholds:
    """Limits of the verdict. The defaults are those of tiny.en, fixed on clips of the voices that ship.

    What is called evidence is the natural logarithm of how much more probable the transcript is than the prompt in the
    place where they deviate, given the audio.
    """

    # Words heard as others
    alike: float = 0.55  # similarity of sound, 0 to 1, at which another word is the same one misheard
    alike_name: float = 0.3  # the same for names
    shorter: float = 0.72  # letters heard / letters of the prompt: with less, sounds are missing
    shorter_letters: int = 5  # letters of the prompt in such a place, at least
    # Evidence from which a deviation is a fault of the voice
    evidence: float = 5.0  # words left out
    evidence_end: float = 4.0  # words left out at the end
    evidence_swapped: float = 1.0
    evidence_shorter: float = 9.0  # other words, and sounds missing
    evidence_wrong: float = 18.0  # other words, as long: most are misheard
    evidence_one_word: float = 25.0  # one other word
    evidence_added: float = 16.0  # one word added; with less there is doubt
    doubt_share: float = 0.75  # share of these limits from which there is doubt
    # Words left out where there was time for them: they may have been spoken
    least_word_seconds: float = 0.2  # time between the words around, for each word left out
    gap_factor: float = 2.0  # evidence needed then, relative to the limits above
    # Words added
    surplus_words: int = 2  # more words heard than the prompt has in a place
    longer: float = 1.4  # letters heard / letters of the prompt there
    divergent_words: int = 8  # different words in a row: no recogniser mishears so many
    babble_seconds: float = 0.6  # sound after the end of the prompt
    babble_probability: float = 0.5  # mean probability of the words heard there, if they are few
    fastest_words: float = 7.0  # words in a second; a recogniser that writes more has made them up
    word_seconds: float = 0.35  # mean length of a word, for recognisers that give no times
    longest_word_seconds: float = 0.85  # a word that takes longer than this, and
    longest_letter_seconds: float = 0.08  # this for each letter, covers something that was not written
    # Whole clips
    endless_seconds: float = 4.0  # a clip that deviates is endless if it takes longer than this, and
    slowest_word_seconds: float = 1.0  # this for each word
    no_speech: float = 0.6  # probability that nobody speaks, from which the words are not believed
    short_words: int = 2  # prompts with so few words are never judged to be wrong, only silent or endless
    runaway_words: int = 4  # more words heard than such a prompt has: it is endless
    max_scored: int = 6  # deviations of a clip for which texts are scored
    # Evidence of the phonetic alignment, which hears no other words than those of the prompt
    aligned_fault: float = 67.0  # from which words were left out, repeated or swapped
    aligned_confirmation: float = 10.0  # the same for a clip about whose transcript there is doubt
    aligned_doubt: float = 30.0
