"""The one module that imports `parler_tts`: loads it where its imports break, and mends what does not work.

`Parler` is upstream's model with four mends, each in a method of its own:

* `_get_cache`: the second `generate()` with a static cache fails, because it asks the cache for `max_batch_size`, a
  name that transformers 4.46 does not have. Without this, `cache_implementation="static"` works once.
* `prepare_inputs_for_generation`: the decoder's mask grows by one column each step, so that a compiled forward sees a
  new shape each step. With a static cache it gets the cache's full length; what lies in the future is masked anyway.
* `set_prompt_padding`: padding counts as positions, so that a left-padded prompt gives other audio than the same prompt
  alone. Here each row counts its own positions.
* `silence_codec_killers`: the heads have ids that are no codes, and sampling one kills the codec with an index error.
"""

from __future__ import annotations

import logging
import sys
import types
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig
from transformers.modeling_utils import no_init_weights

from pipeline.synthesis.checkpoint_files import (
    GenerationSettings,
    read_config,
    read_generation,
    weight_files,
    weight_shapes,
)
from pipeline.synthesis.loading import load_weights


def _provide_torchaudio() -> None:
    """Puts an inert module in the place of a torchaudio that cannot be loaded.

    Upstream's codec package imports torchaudio and calls nothing of it on our path; PyPI's builds need CUDA libraries,
    so that beside a CPU build of torch the import dies.
    """
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        for name in ("torchaudio", "torchaudio.functional", "torchaudio.transforms"):
            module = types.ModuleType(name, "Inert: the real torchaudio cannot be loaded here.")
            module.__spec__ = ModuleSpec(name, None)
            sys.modules[name] = module


class _Silence(logging.Filter):
    """Drops the messages that begin with one of the given phrases."""

    def __init__(self, *phrases: str) -> None:
        super().__init__()
        self.phrases = phrases

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self.phrases)


def _silence_meaningless_warnings() -> None:
    """Silences, by name, what upstream says on every healthy run."""
    logging.getLogger("parler_tts.modeling_parler_tts").addFilter(
        _Silence(
            "Flash attention 2 is not installed",  # said at import, whether one wants it or not
            "Config of the text_encoder:",  # says that two equal configs differ in their attention setting
            "Config of the audio_encoder:",
            "Config of the decoder:",
            "`prompt_attention_mask` is specified but `attention_mask` is not.",  # the full mask is what is meant
        )
    )
    logging.getLogger("transformers.cache_utils").addFilter(
        _Silence("The 'max_batch_size' argument of StaticCache is deprecated", "`get_max_cache()` is deprecated")
    )


with warnings.catch_warnings():
    # Old syntax and old interfaces in packages that upstream imports and we do not use.
    warnings.simplefilter("ignore", SyntaxWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    _provide_torchaudio()
    _silence_meaningless_warnings()
    from parler_tts import ParlerTTSConfig, ParlerTTSDecoderConfig, ParlerTTSForConditionalGeneration
    from parler_tts.dac_wrapper import DACConfig, DACModel
    from parler_tts.logits_processors import ParlerTTSLogitsProcessor

# Upstream's codec wrapper is written so. Said here and not above, where it would end with the block.
warnings.filterwarnings("ignore", r"`torch\.nn\.utils\.weight_norm` is deprecated", FutureWarning)

__all__ = [
    "DACConfig",
    "DACModel",
    "Parler",
    "ParlerTTSConfig",
    "ParlerTTSDecoderConfig",
    "ParlerTTSForConditionalGeneration",
    "ParlerTTSLogitsProcessor",
    "load",
]


class _RowPositions(nn.Module):
    """Upstream's sinusoidal positions, counted by each row from its first token that is not padding."""

    def __init__(self, shared: nn.Module) -> None:
        super().__init__()
        self.weights: Tensor = shared.weights  # type: ignore[assignment]  # [positions, hidden]
        self.padding: Tensor | None = None  # [B, 1] padding tokens at the left of each row

    def forward(self, embeddings: Tensor, past_length: int | Tensor = 0) -> Tensor:
        positions = torch.arange(embeddings.shape[1], device=embeddings.device) + past_length  # [L]
        if self.padding is None:
            return self.weights[positions].detach()  # [L, hidden]
        return self.weights[(positions - self.padding).clamp(min=0)].detach()  # [B, L, hidden]


class _RowRotary(nn.Module):
    """Upstream's rotary positions, counted likewise."""

    def __init__(self, shared: nn.Module) -> None:
        super().__init__()
        self.shared = shared
        self.padding: Tensor | None = None  # [B, 1]

    def forward(self, device_type: str, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        if self.padding is not None:
            position_ids = (position_ids - self.padding).clamp(min=0)
        cos_and_sin: tuple[Tensor, Tensor] = self.shared(device_type, position_ids)
        return cos_and_sin


class Parler(ParlerTTSForConditionalGeneration):  # type: ignore[misc]  # upstream has no types
    """Upstream's model, mended; see the head of this module."""

    embed_positions: _RowPositions  # of a cross-attended prompt, once the rows have their own

    def _get_cache(self, cache_implementation: str, max_batch_size: int, max_cache_len: int, model_kwargs: Any) -> Any:
        if hasattr(self, "_cache"):
            for cache in (self._cache.self_attention_cache, self._cache.cross_attention_cache):
                cache.max_batch_size = cache.batch_size
        return super()._get_cache(cache_implementation, max_batch_size, max_cache_len, model_kwargs)

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Upstream's, with a decoder mask of fixed length where the cache is static."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(*args, **kwargs)
        cache, prompt_mask = inputs["past_key_values"], inputs["prompt_attention_mask"]
        capacity = getattr(getattr(cache, "self_attention_cache", None), "max_cache_len", None)
        if capacity is not None and prompt_mask is not None:
            rest = (prompt_mask.shape[0], capacity - prompt_mask.shape[1])
            inputs["decoder_attention_mask"] = prompt_mask.new_ones(rest)
        return inputs

    def give_rows_their_own_positions(self) -> None:
        """Replaces the shared position tables. Called once, after the weights are loaded."""
        decoder = self.decoder.model.decoder
        if decoder.rope_embeddings:
            decoder.rotary_emb = _RowRotary(decoder.rotary_emb)
        else:
            decoder.embed_positions = _RowPositions(decoder.embed_positions)
        if self.prompt_cross_attention:
            self.embed_positions = _RowPositions(self.embed_positions)

    def set_prompt_padding(self, padding: Tensor | None) -> None:
        """Says how many padding tokens `[B]` stand at the left of each row's prompt; None: none, nowhere."""
        column = None if padding is None else padding[:, None]
        decoder = self.decoder.model.decoder
        in_decoder = decoder.rotary_emb if decoder.rope_embeddings else decoder.embed_positions
        # A prompt that is attended to across is not in the decoder's own sequence.
        counting = self.embed_positions if self.prompt_cross_attention else in_decoder
        counting.padding = column

    def silence_codec_killers(self) -> None:
        """Suppresses every id that is neither a code nor the end of sequence."""
        decoder = self.config.decoder
        ids = range(self.config.audio_encoder.codebook_size, decoder.vocab_size)
        self.generation_config.suppress_tokens = [i for i in ids if i != decoder.eos_token_id] or None


def load(
    folder: Path,
    *,
    attention: str,
    dtype: torch.dtype,
    device: torch.device,
    codec_dtype: torch.dtype | None = None,
) -> Parler:
    """Load a checkpoint folder (safetensors only), mended and ready to generate.

    Args:
        folder: With config.json and weights.
        attention: Of the decoder: eager, sdpa or flash_attention_2. The text encoder (T5) has only eager.
        dtype: Of the model. The text encoder stays in float32 where this is float16, in which it overflows.
        device: Where it will run.
        codec_dtype: Of the codec, whose weights are then never rounded to `dtype`; default: `dtype`.

    Raises:
        ModelError: The files are damaged, do not fit each other, or lack a weight.
    """
    config = read_config(folder)
    model = _without_weights(config, folder, attention, dtype)
    if dtype == torch.float16:
        model.text_encoder.float()
        model.text_encoder.register_forward_hook(_cast_states_to_half)
    model.audio_encoder.to(codec_dtype or dtype)
    load_weights(model, weight_files(folder))
    model.generation_config = _generation_config(read_generation(folder, config))
    model.eval().to(device)
    model.give_rows_their_own_positions()
    model.silence_codec_killers()
    return model


def _without_weights(config: dict[str, Any], folder: Path, attention: str, dtype: torch.dtype) -> Parler:
    """The model before its weights are read. Drawing random ones first would take longer than reading."""
    if _has_own_codec(folder):  # older configs say "dac" for it, which is the name of transformers' codec now
        config["audio_encoder"]["model_type"] = DACConfig.model_type
    parsed = ParlerTTSConfig.from_dict(config)
    attentions = {"decoder": attention, "text_encoder": "eager"}
    with no_init_weights():
        model: Parler = Parler._from_config(parsed, attn_implementation=attentions, torch_dtype=dtype)
    model.config._name_or_path = str(folder)
    return model


def _has_own_codec(folder: Path) -> bool:
    """Whether the codec is parler_tts' own wrapper of the dac package, not transformers' DacModel."""
    return any(name.startswith("audio_encoder.model.") for name in weight_shapes(folder))


def _generation_config(settings: GenerationSettings) -> GenerationConfig:
    """What both backends read of the published generation config; sampling is given to them by themselves."""
    return GenerationConfig(
        bos_token_id=settings.bos,
        eos_token_id=settings.eos,
        pad_token_id=settings.pad,
        decoder_start_token_id=settings.decoder_start,
        max_length=settings.max_length,
        min_new_tokens=settings.min_new_tokens or None,
        do_sample=True,
    )


def _cast_states_to_half(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    output.last_hidden_state = output.last_hidden_state.half()
    return output
