"""The only module that imports `parler_tts`: makes the import work, and fixes faults of the model.

`Parler` is upstream's model with four fixes, each in its own method:

* `_get_cache`: upstream asks the cache for `max_batch_size`, an attribute that transformers 4.46 does not have, so that
  the second `generate()` with `cache_implementation="static"` fails.
* `prepare_inputs_for_generation`: upstream's decoder mask grows by one column at each step, so that a compiled forward
  sees a new shape each time. With a static cache the mask has the cache's full length; the future is masked anyway.
* `set_prompt_padding`: upstream counts padding as positions, so that a left-padded prompt gives other audio than the
  same prompt alone. Here each row counts its own positions.
* `suppress_invalid_ids`: the output heads have ids that are not codes, and the codec fails with an index error if one
  is drawn.
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
    """Register an empty torchaudio module if the real one cannot be imported.

    Upstream's codec package imports torchaudio but needs nothing of it here. The builds on PyPI need CUDA libraries, so
    that the import fails beside a CPU build of torch.
    """
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        for name in ("torchaudio", "torchaudio.functional", "torchaudio.transforms"):
            module = types.ModuleType(name, "Empty: the real torchaudio cannot be imported.")
            module.__spec__ = ModuleSpec(name, None)
            sys.modules[name] = module


class _DropMessages(logging.Filter):
    """Drops log messages that begin with one of the given phrases."""

    def __init__(self, *phrases: str) -> None:
        super().__init__()
        self.phrases = phrases

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self.phrases)


def _drop_irrelevant_warnings() -> None:
    """Drop the warnings that upstream logs in every run without a fault."""
    logging.getLogger("parler_tts.modeling_parler_tts").addFilter(
        _DropMessages(
            "Flash attention 2 is not installed",  # logged at import, whether it is wanted or not
            "Config of the text_encoder:",  # two configs that differ in their attention setting only
            "Config of the audio_encoder:",
            "Config of the decoder:",
            "`prompt_attention_mask` is specified but `attention_mask` is not.",  # it then uses a full mask
        )
    )
    logging.getLogger("transformers.cache_utils").addFilter(
        _DropMessages("The 'max_batch_size' argument of StaticCache is deprecated", "`get_max_cache()` is deprecated")
    )


with warnings.catch_warnings():
    # From packages that upstream imports and that are not used here.
    warnings.simplefilter("ignore", SyntaxWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    _provide_torchaudio()
    _drop_irrelevant_warnings()
    from parler_tts import ParlerTTSConfig, ParlerTTSDecoderConfig, ParlerTTSForConditionalGeneration
    from parler_tts.dac_wrapper import DACConfig, DACModel
    from parler_tts.logits_processors import ParlerTTSLogitsProcessor

# From upstream's codec wrapper. After the block above, at whose end filters are reset.
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
    """Upstream's sinusoidal positions, counted in each row from its first token that is not padding."""

    def __init__(self, shared: nn.Module) -> None:
        super().__init__()
        self.weights: Tensor = shared.weights  # type: ignore[assignment]  # [positions, hidden]
        self.padding: Tensor | None = None  # [B, 1] number of padding tokens at the left of each row

    def forward(self, embeddings: Tensor, past_length: int | Tensor = 0) -> Tensor:
        positions = torch.arange(embeddings.shape[1], device=embeddings.device) + past_length  # [L]
        if self.padding is None:
            return self.weights[positions].detach()  # [L, hidden]
        return self.weights[(positions - self.padding).clamp(min=0)].detach()  # [B, L, hidden]


class _RowRotary(nn.Module):
    """Upstream's rotary positions, counted in the same way."""

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
    """Upstream's model with the fixes that the docstring of this module lists."""

    embed_positions: _RowPositions  # of a cross-attended prompt, after `use_row_positions`

    def _get_cache(self, cache_implementation: str, max_batch_size: int, max_cache_len: int, model_kwargs: Any) -> Any:
        if hasattr(self, "_cache"):
            for cache in (self._cache.self_attention_cache, self._cache.cross_attention_cache):
                cache.max_batch_size = cache.batch_size
        return super()._get_cache(cache_implementation, max_batch_size, max_cache_len, model_kwargs)

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return upstream's inputs, with a decoder mask of fixed length if the cache is static."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(*args, **kwargs)
        cache, prompt_mask = inputs["past_key_values"], inputs["prompt_attention_mask"]
        capacity = getattr(getattr(cache, "self_attention_cache", None), "max_cache_len", None)
        if capacity is not None and prompt_mask is not None:
            rest = (prompt_mask.shape[0], capacity - prompt_mask.shape[1])
            inputs["decoder_attention_mask"] = prompt_mask.new_ones(rest)
        return inputs

    def use_row_positions(self) -> None:
        """Replace the position tables by ones that count for each row. Call it once, after the weights are loaded."""
        decoder = self.decoder.model.decoder
        if decoder.rope_embeddings:
            decoder.rotary_emb = _RowRotary(decoder.rotary_emb)
        else:
            decoder.embed_positions = _RowPositions(decoder.embed_positions)
        if self.prompt_cross_attention:
            self.embed_positions = _RowPositions(self.embed_positions)

    def set_prompt_padding(self, padding: Tensor | None) -> None:
        """Set the number of padding tokens `[B]` at the left of each row's prompt; None: no row has padding."""
        column = None if padding is None else padding[:, None]
        decoder = self.decoder.model.decoder
        in_decoder = decoder.rotary_emb if decoder.rope_embeddings else decoder.embed_positions
        # A cross-attended prompt is not part of the decoder's sequence.
        positions = self.embed_positions if self.prompt_cross_attention else in_decoder
        positions.padding = column

    def suppress_invalid_ids(self) -> None:
        """Suppress every id that is neither a code nor the end of sequence."""
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
    """Load a checkpoint folder (safetensors only).

    Args:
        folder: With config.json and weights.
        attention: Of the decoder: eager, sdpa or flash_attention_2. The text encoder (T5) supports eager only.
        dtype: Of the model. With float16 the text encoder stays in float32, since it would overflow.
        device: Of the model.
        codec_dtype: Of the codec, whose weights are then not rounded to `dtype` first; None: `dtype`.

    Raises:
        ModelError: A file is damaged, a weight is missing, or the weights do not match config.json.
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
    model.use_row_positions()
    model.suppress_invalid_ids()
    return model


def _without_weights(config: dict[str, Any], folder: Path, attention: str, dtype: torch.dtype) -> Parler:
    """Build the model without initialising its weights, which would take longer than reading them."""
    if _has_own_codec(folder):  # older configs call it "dac", which is now the name of transformers' codec
        config["audio_encoder"]["model_type"] = DACConfig.model_type
    parsed = ParlerTTSConfig.from_dict(config)
    attentions = {"decoder": attention, "text_encoder": "eager"}
    with no_init_weights():
        model: Parler = Parler._from_config(parsed, attn_implementation=attentions, torch_dtype=dtype)
    model.config._name_or_path = str(folder)
    return model


def _has_own_codec(folder: Path) -> bool:
    """Return whether the codec is parler_tts' wrapper of the dac package rather than transformers' DacModel."""
    return any(name.startswith("audio_encoder.model.") for name in weight_shapes(folder))


def _generation_config(settings: GenerationSettings) -> GenerationConfig:
    """Return the settings that both backends read from the model. Sampling settings are passed separately."""
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
