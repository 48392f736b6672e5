"""English: numbers, dates, money, abbreviations and symbols, written as the words that are spoken.

`normalizer` applies the rules in order. Each of the other modules has the rules for one kind of text, with doctests;
`words` has the words for values, and `plain` recognises text that no rule changes.
"""

from pipeline.text.normalization.english.normalizer import RULES, apply_rules, normalize

__all__ = ["RULES", "apply_rules", "normalize"]
