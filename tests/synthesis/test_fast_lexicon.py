"""A tokenizer's lexicon in one pass: the same ids as rule by rule, in time that does not depend on its size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, normalizers
from transformers import AutoTokenizer

import pipeline
from pipeline.config import ModelConfig
from pipeline.synthesis.checkpoint import find_checkpoint
from pipeline.synthesis.fast_lexicon import apply_lexicon_in_one_pass
from pipeline.synthesis.tokenizers import load_tokenizers
from pipeline.text.normalization.english.words import word_set
from scripts.voice.tokenizer import make_tokenizer

BUNDLED = Path(pipeline.__file__).parent / "bundled"
SOUNDS = ("ˈA", "k", "ə", "t")
# Words that hold each other, with apostrophes; the others fill the lexicon up to the size that is worth a table.
WORDS = sorted(word_set("a b s t don don't don't've i'll i'll've b'c a'b a'a t's s't've ve ll the cat o'clock clock o"))
LEXICON = {word: [SOUNDS[i % 3], SOUNDS[(i // 3) % 4], *SOUNDS[: i % 2]] for i, word in enumerate(WORDS)}
LEXICON |= {f"{a}{b}zz": ["k", "t"] for a in "abcdefghijkl" for b in "abcdefghijkl"}

ODD_TEXTS = [
    "",
    " ",
    "DON’T stop, i'll've the'cat'o'clock",
    "a'a'a'a a''b 'a' s's't've",
    "</s> <pad> <PAD> x</S> <unk>",
    "a_b the_the 1the the1 ٣the ❶the Ⅳ ⓐb 漢字a",
    "the\u0301 e\u0301the caf\u00e9's \u200dthe t\u200dhe",
    "\nthe\r\nthe\tthe\n",
    "ˈthe the ˌa ʰthe",
    "ＴＨＥ ﬁne ẞ ſ İ ı",
    "🙂the🙂",
    "the" * 3000,
    "a'" * 2000,
]


def tokenizers() -> tuple[Any, Any]:
    """A tokenizer, and a copy with its lexicon in one pass."""
    slow, fast = make_tokenizer(LEXICON, SOUNDS), make_tokenizer(LEXICON, SOUNDS)
    apply_lexicon_in_one_pass(fast.backend_tokenizer)
    return slow, fast


SLOW, FAST = tokenizers()


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_have_the_same_ids(text: str) -> None:
    """Guards word borders against differences from the rules: marks, apostrophes, special tokens, other scripts."""
    assert FAST([text]).input_ids == SLOW([text]).input_ids


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([*WORDS, "'", "’", "'", " ", "-", "_", "é", "\u0301", "X", "</s>", "9"]), max_size=12))
def test_any_text_has_the_same_ids(parts: list[str]) -> None:
    """Guards the order of rules where several match."""
    text = "".join(parts)
    assert FAST([text]).input_ids == SLOW([text]).input_ids


def test_a_few_rules_stay() -> None:
    """Guards tokenizers without a lexicon against changes."""
    tokenizer = make_tokenizer({"the": ["k"]}, SOUNDS)
    before = tokenizer.backend_tokenizer.to_str()
    apply_lexicon_in_one_pass(tokenizer.backend_tokenizer)
    assert tokenizer.backend_tokenizer.to_str() == before
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    apply_lexicon_in_one_pass(tokenizer.backend_tokenizer)
    assert tokenizer("A").input_ids == tokenizer("a").input_ids


def test_rules_that_depend_on_each_other_stay() -> None:
    """Guards rules whose result another rule replaces: they cannot be applied in one pass."""
    tokenizer = make_tokenizer(LEXICON, SOUNDS)
    rules = [normalizers.Replace(Regex(rf"\b{word}\b"), "the") for word in ("cat", "don")] * 60
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(rules)
    before = tokenizer.backend_tokenizer.to_str()
    apply_lexicon_in_one_pass(tokenizer.backend_tokenizer)
    assert tokenizer.backend_tokenizer.to_str() == before


def test_the_bundled_checkpoint_plans_quickly_and_tokenizes_as_before() -> None:
    """Bug: 40,000 rules took 16 to 30 ms for each prompt, so that planning a novel took two minutes."""
    fast = load_tokenizers(find_checkpoint(ModelConfig(name="bundled")))
    slow = AutoTokenizer.from_pretrained(BUNDLED)
    texts = ["It isn't what the O'Connors' son'd have said: he'll've gone - at five o'clock!", *ODD_TEXTS[:-2]]
    assert fast.count_prompts(texts) == [len(row) for row in slow(texts).input_ids]
    assert fast.prompts([texts[0]]).ids.tolist() == slow([texts[0]]).input_ids
    start = time.process_time()
    fast.count_prompts([f"{texts[0]} {number}" for number in range(1000)])
    assert time.process_time() - start < 2  # 0.15 s on a quiet machine; 25 s before
