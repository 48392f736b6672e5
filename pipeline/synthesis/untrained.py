"""Make small Parler-TTS checkpoints with random weights, for tests and dry experiments without a download.

They have the standard format and are loaded by the same code as published ones. Two properties are set by hand, so that
they behave like speech models: the codec's noise is audible, and generation ends by itself after some seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import DacConfig, DacModel, GenerationConfig, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from pipeline.synthesis import upstream

CODEBOOK_SIZE = 1024
EOS = PAD = 1024  # special ids, vocabulary and codebook size are those of the published checkpoints
BOS = 1025
VOCABULARY = 1088  # of the output heads; ids 1026 to 1087 are not codes


@dataclass(frozen=True)
class UntrainedShape:
    """The architecture of an untrained checkpoint. It covers every variant of the published ones."""

    hidden: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 4  # fewer than heads: grouped-query attention
    cross_kv_heads: int = 4
    ffn: int = 128
    codebooks: int = 4
    text_hidden: int = 64  # if it differs from `hidden`, the checkpoint has `enc_to_dec_proj`
    max_positions: int = 2048
    rope: bool = False
    prompt_cross_attention: bool = False
    fused_heads: bool = False
    hub_codec: bool = False  # upstream's own DAC wrapper (4-dimensional codes) instead of transformers' DacModel
    sampling_rate: int = 16_000
    codec_ratios: tuple[int, ...] = (4, 8, 10)  # hop = their product
    codec_hidden: int = 48  # width of the codec's decoder
    max_seconds: float = 30.0
    mean_seconds: float = 2.0  # mean length of a clip

    @property
    def frames_per_second(self) -> float:
        """Codec frames in a second of audio."""
        hop = 512 if self.hub_codec else int(torch.tensor(self.codec_ratios).prod())
        return self.sampling_rate / hop


def make_untrained(folder: Path, shape: UntrainedShape | None = None, seed: int = 0) -> Path:
    """Write a checkpoint.

    Args:
        folder: Where; it is created if it is missing.
        shape: Architecture; None: the default.
        seed: The same shape and seed give the same weights.

    Returns:
        `folder`.
    """
    shape = shape or UntrainedShape()
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]), _default_dtype(torch.float32):
        torch.manual_seed(seed)
        model = _build(shape)
    model.save_pretrained(folder, safe_serialization=True)
    _byte_tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": shape.sampling_rate}) + "\n")
    return folder


def _build(shape: UntrainedShape) -> Any:
    text_encoder = T5EncoderModel(
        T5Config(
            vocab_size=_VOCABULARY_OF_BYTES,
            d_model=shape.text_hidden,
            d_kv=16,
            d_ff=2 * shape.text_hidden,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
        )
    )
    decoder = _decoder_config(shape)
    codec = _codec(shape)
    config = upstream.ParlerTTSConfig.from_sub_models_config(
        text_encoder.config,
        codec.config,
        decoder,
        vocab_size=_VOCABULARY_OF_BYTES,
        prompt_cross_attention=shape.prompt_cross_attention,
        decoder_start_token_id=BOS,
        pad_token_id=PAD,
    )
    model = upstream.ParlerTTSForConditionalGeneration(config)
    model.text_encoder.load_state_dict(text_encoder.state_dict())
    model.audio_encoder.load_state_dict(codec.state_dict())
    set_end_probability(model, shape)
    model.generation_config = GenerationConfig(
        do_sample=True,
        min_new_tokens=10,
        max_length=round(shape.max_seconds * shape.frames_per_second) + shape.codebooks,
        decoder_start_token_id=BOS,
        bos_token_id=BOS,
        pad_token_id=PAD,
        eos_token_id=EOS,
    )
    return model


def _decoder_config(shape: UntrainedShape) -> Any:
    return upstream.ParlerTTSDecoderConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        num_cross_attention_key_value_heads=shape.cross_kv_heads,
        ffn_dim=shape.ffn,
        num_codebooks=shape.codebooks,
        max_position_embeddings=shape.max_positions,
        rope_embeddings=shape.rope,
        use_fused_lm_heads=shape.fused_heads,
        dropout=0.0,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=BOS,
    )


def _codec(shape: UntrainedShape) -> Any:
    """Return a codec whose output is audible noise: with transformers' own initialisation it is silence."""
    if shape.hub_codec:
        return upstream.DACModel(
            upstream.DACConfig(num_codebooks=shape.codebooks, codebook_size=CODEBOOK_SIZE, sampling_rate=44_100)
        )
    codec = DacModel(
        DacConfig(
            encoder_hidden_size=8,
            downsampling_ratios=list(shape.codec_ratios),
            decoder_hidden_size=shape.codec_hidden,
            n_codebooks=shape.codebooks,
            codebook_size=CODEBOOK_SIZE,
            sampling_rate=shape.sampling_rate,
        )
    )
    for module in codec.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            module.reset_parameters()
    with torch.no_grad():  # without this the output is a large constant with little noise
        last = codec.decoder.conv2
        last.weight -= last.weight.mean(dim=-1, keepdim=True)
        last.bias.zero_()
    return codec


def set_end_probability(model: Any, shape: UntrainedShape) -> None:
    """Give the first codebook's end of sequence the same probability at every step.

    The last layer norm makes one hidden dimension constant, and only the logit of that id reads it. The other logits
    get a standard deviation of 2, wide enough for an improbable end to be among the 50 best, which sampling keeps.
    """
    decoder = model.decoder.model.decoder
    spare = shape.hidden - 1
    with torch.no_grad():
        decoder.layer_norm.weight[spare] = 0.0
        decoder.layer_norm.bias[spare] = 1.0
        heads = model.decoder.lm_heads
        weights = [heads.weight] if shape.fused_heads else [head.weight for head in heads]
        for weight in weights:
            weight.normal_(std=2.0 * shape.hidden**-0.5)
            weight[:, spare] = 0.0
        # The log-sum-exp of the 50 best of 1088 such logits is about 8.5.
        probability = 1.0 / (shape.mean_seconds * shape.frames_per_second)
        weights[0][EOS] = 0.0
        weights[0][EOS, spare] = 8.5 + torch.logit(torch.tensor(probability)).item()


_VOCABULARY_OF_BYTES = 259  # pad, end, unknown, and the 256 bytes


def _byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token for each byte, which appends an end token as T5's tokenizers do."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
