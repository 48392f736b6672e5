"""Approximate pronunciation of English words that are not in a dictionary, mostly names.

An alignment needs the rough sequence of sounds only, so that a short table of spellings is enough.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["pronounce"]

# Spelling and phones (ARPAbet), longer spellings first.
_RULES = tuple(
    (spelling, phones)
    for spelling, _, phones in (
        line.partition(" ")
        for line in """
tion SH AH N
sion ZH AH N
eigh EY
ough AO
augh AO
igh AY
tch CH
dge JH
sch S K
ch CH
sh SH
th TH
ph F
gh G
ck K
qu K W
ng NG
wh W
wr R
kn N
ee IY
ea IY
oo UW
ou AW
ow OW
oi OY
oy OY
ai EY
ay EY
au AO
aw AO
ey IY
ie IY
er ER
ir ER
ur ER
ar AA R
or AO R
a AE
b B
c K
d D
e EH
f F
g G
h HH
i IH
j JH
k K
l L
m M
n N
o AA
p P
q K
r R
s S
t T
u AH
v V
w W
x K S
y IY
z Z
""".strip().splitlines()
    )
)
_UNKNOWN = "AH"  # of a word without a letter that is known


def pronounce(word: str) -> str:
    """Return the phones of a word, separated by blanks, e.g. "B IH NG L IY" for "bingley"."""
    folded = "".join(letter for letter in unicodedata.normalize("NFKD", word.lower()) if letter.isascii())
    letters = re.sub(r"([^aeiou])\1", r"\1", re.sub(r"[^a-z]", "", folded))
    if len(letters) > 3 and letters.endswith("e"):
        letters = letters[:-1]  # silent
    phones, index = [], 0
    while index < len(letters):
        spelling, sound = next(rule for rule in _RULES if letters.startswith(rule[0], index))
        phones.append(sound)
        index += len(spelling)
    return " ".join(phones) or _UNKNOWN
