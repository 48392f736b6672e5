"""The tokenizer of prompts and descriptions: words as they sound, where it knows them, and letters otherwise.

Its normaliser holds a lexicon: a word in it is replaced by its sounds, one token each. So the model need not learn to
read English before it learns to speak, and a word that is added to the lexicon later is spoken without training. All
of it is in `tokenizer.json`, as rules that every Hugging Face tokenizer understands. Letters lose case and accents.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

Lexicon = Mapping[str, Sequence[str]]  # names of the sounds of each word

_SPECIAL = ("<pad>", "</s>", "<unk>")
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .,;:!?'\"-()"
_SAME = {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-"}
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_STRESS = "ˈˌ"
SPELLED = "\u200d"  # an invisible joiner within a word keeps it from being found in the lexicon


def make_tokenizer(lexicon: Lexicon, sounds: Sequence[str]) -> Any:
    """A fast tokenizer of letters and of `sounds`, which has to hold all sounds of the lexicon."""
    tokens = dict.fromkeys([*_SPECIAL, *_CHARACTERS, *map(_token, sounds)])  # a pause within a word is a space
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    # Longer words first: "don't" before "don".
    words = sorted(lexicon, key=lambda word: (-len(word), word))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            *(normalizers.Replace(mark, plain) for mark, plain in _SAME.items()),
            *(normalizers.Replace(Regex(rf"\b{word}\b"), "".join(map(_token, lexicon[word]))) for word in words),
            normalizers.Replace(SPELLED, ""),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"[{_STRESS}]?.|\s"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def make_lexicon(pronounced: Iterable[tuple[str, Sequence[str]]], largest: int) -> dict[str, list[str]]:
    """The most frequent words of `pronounced`, each as it is most often spoken. A word met once is left out."""
    ways: dict[str, Counter[tuple[str, ...]]] = {}
    for word, sounds in pronounced:
        key = word.lower().replace("’", "'")
        if sounds and _WORD.fullmatch(key):
            ways.setdefault(key, Counter())[tuple(sounds)] += 1
    frequent = sorted(ways, key=lambda word: (-ways[word].total(), word))[:largest]
    return {word: list(ways[word].most_common(1)[0][0]) for word in frequent if ways[word].total() > 1}


def add_words(
    lexicon: dict[str, list[str]], pronounced: Iterable[tuple[str, Sequence[str]]], known: Iterable[str]
) -> None:
    """Add words that consist of `known` sounds and are not in the lexicon yet."""
    allowed = set(known)
    for word, sounds in pronounced:
        if sounds and _WORD.fullmatch(word) and allowed.issuperset(sounds):
            lexicon.setdefault(word, list(sounds))


def _token(sound: str) -> str:
    """A sound's token: no ASCII, so that no rule of the normaliser takes it for a letter of a word."""
    return "".join(chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else character for character in sound)
