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
from safetensors import safe_open
from torch import Tensor, nn
from transformers.utils.logging import disable_progress_bar

_log = logging.getLogger(__name__)


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
    warnings.filterwarnings("ignore", message=r"`torch\.nn\.utils\.weight_norm` is deprecated", category=FutureWarning)


with warnings.catch_warnings():
    # Old syntax and old interfaces in packages that upstream imports and we do not use.
    warnings.simplefilter("ignore", SyntaxWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    _provide_torchaudio()
    _silence_meaningless_warnings()
    from parler_tts import ParlerTTSConfig, ParlerTTSDecoderConfig, ParlerTTSForConditionalGeneration
    from parler_tts.dac_wrapper import DACConfig, DACModel
    from parler_tts.logits_processors import ParlerTTSLogitsProcessor

__all__ = [
    "DACConfig",
    "DACModel",
    "Parler",
    "ParlerTTSConfig",
    "ParlerTTSDecoderConfig",
    "ParlerTTSForConditionalGeneration",
    "ParlerTTSLogitsProcessor",
    "load",
    "restore_codec",
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


def load(folder: Path, *, attention: str, dtype: torch.dtype, device: torch.device) -> Parler:
    """Loads a checkpoint folder (safetensors only), mended and ready to generate.

    The text encoder (T5) stays in float32 where `dtype` is float16, in which it overflows.
    """
    disable_progress_bar()  # of files that take a second each, in the middle of the run's own lines
    model: Parler = Parler.from_pretrained(
        folder, attn_implementation=attention, torch_dtype=dtype, use_safetensors=True
    )
    model.eval().to(device)
    model.give_rows_their_own_positions()
    model.silence_codec_killers()
    if dtype == torch.float16:
        model.text_encoder.float()
        model.text_encoder.register_forward_hook(_cast_states_to_half)
    return model


def restore_codec(model: Parler, folder: Path) -> None:
    """Gives the codec its weights as they were saved, in float32, whatever the model was loaded in.

    Rounded to bfloat16, they alone are 45 dB from the truth; the codec is small enough to keep them.
    """
    codec, prefix = model.audio_encoder.float(), "audio_encoder."
    ours, missing = codec.state_dict(), set(codec.state_dict())
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as saved:
            for key in saved.keys():  # noqa: SIM118  # it is no mapping
                name = key.removeprefix(prefix)
                for old, new in (("weight_g", "original0"), ("weight_v", "original1")):  # of older versions of torch
                    name = name.replace(old, f"parametrizations.weight.{new}") if name not in ours else name
                if key.startswith(prefix) and name in ours:
                    ours[name].copy_(saved.get_tensor(key))
                    missing.discard(name)
    if missing:
        _log.warning("%s: %d of the codec's weights keep the model's precision", folder, len(missing))


def _cast_states_to_half(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    output.last_hidden_state = output.last_hidden_state.half()
    return output
