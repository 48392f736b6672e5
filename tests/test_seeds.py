"""Seeds, which depend on content and never change."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.seeds import content_digest, content_fraction, take_seed, utterance_seed

TEXTS = st.text(max_size=30)


def test_seeds_are_frozen():
    """Guards against new values, with which recorded seeds would give other audio."""
    assert utterance_seed(0, "Hello.", "Jon's voice is calm.") == 8522880557322580974
    assert utterance_seed(7, "Ünïcödé 你好", "") == 4959375187107366162
    assert take_seed(123, 1) == 7623628619498211322
    assert content_digest("a", 1).hex() == "215f544638f2193d"


def test_the_first_take_uses_the_utterances_own_seed():
    assert take_seed(42, 0) == 42
    assert len({take_seed(42, take) for take in range(50)}) == 50


@given(st.integers(0, 2**63 - 1), TEXTS, TEXTS, st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_seeds_fit_63_bits(run_seed: int, prompt: str, description: str, take: int):
    """Guards against seeds of 64 bits, which overflow in torch and in an int64 column."""
    seed = take_seed(utterance_seed(run_seed, prompt, description), take)
    assert 0 <= seed < 2**63


def test_parts_of_a_hash_are_kept_apart():
    """Guards against the same seed for "ab" + "c" and "a" + "bc"."""
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("1",), (1,), ('a", "b',), ("a", "b"), ()]
    assert len({content_digest(*part) for part in parts}) == len(parts)
    assert content_digest("\ud800") != content_digest("\ud801"), "a lone surrogate must not crash"


@given(st.lists(TEXTS, max_size=3))
@settings(max_examples=50, deadline=None)
def test_a_fraction_never_reaches_one(parts: list[str]):
    """Guards against 1.0, which would be an index after the last speaker."""
    assert 0 <= content_fraction(*parts) < 1
