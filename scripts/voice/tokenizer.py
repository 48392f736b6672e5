"""The tokenizer of prompts and descriptions: one token for each character, and T5's end token.

Letters lose their case and their accents: the less there is to learn, the sooner speech follows the text.
"""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

_SPECIAL = ("<pad>", "</s>", "<unk>")
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .,;:!?'\"-()"
_SAME = {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-"}


def make_tokenizer() -> Any:
    """A fast tokenizer with `len(_SPECIAL) + len(_CHARACTERS)` ids."""
    tokenizer = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate([*_SPECIAL, *_CHARACTERS])}, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            *(normalizers.Replace(mark, plain) for mark, plain in _SAME.items()),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(".|\\s"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
