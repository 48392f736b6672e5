"""The codec as a whole, in the form that Parler checkpoints carry: transformers' DacModel. And the codes of all speech.

Its two halves are made one after the other. The quantizer (`quantizer`) fixes the codes of all speech; then the Parler
decoder can be trained on these while the codec's own decoder (`codec_decoder`), which turns codes into samples, is
trained beside it, and with it the vectors that stand for codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import DacConfig, DacModel

from pipeline.errors import ConfigError
from scripts.voice.excitation import set_and_keep, set_excitation
from scripts.voice.quantizer import CYCLES, HEIGHT, PHASE, PHASE_LEAD, Quantizer, in_turn
from scripts.voice.recipe import CodecRecipe
from scripts.voice.retiming import retimed
from scripts.voice.speech import Shard, shards

Codes = npt.NDArray[np.uint16]


def make_codec(recipe: CodecRecipe) -> Any:
    """An untrained DacModel. Its convolutions start as PyTorch's do: with transformers' own start it does not learn.

    Each codebook but the first has channels of its own in the latents: `[B, (K - 1) * hidden, T]`.
    """
    codec = DacModel(
        DacConfig(
            encoder_hidden_size=recipe.hidden // 2 ** len(recipe.ratios),
            downsampling_ratios=list(recipe.ratios),
            decoder_hidden_size=recipe.decoder_hidden,
            n_codebooks=recipe.codebooks,
            codebook_size=recipe.codebook_size,
            codebook_dim=recipe.hidden,
            hidden_size=recipe.hidden * (recipe.codebooks - 1),
            sampling_rate=recipe.sampling_rate,
        )
    )
    for module in codec.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            module.reset_parameters()
    return codec


@torch.no_grad()
def set_codebooks(codec: Any, vectors: Tensor, seed: int) -> None:
    """Set what codes stand for, `[K - 1, codes, hidden]`, and what the decoder makes pulses and noise of.

    Codebooks are trained with the decoder, and nothing else beside them. The first one is silent: whatever the decoder
    notes there adds nothing to a frame.
    """
    codec.requires_grad_(False)
    codec.decoder.requires_grad_(True)
    for number, level in enumerate(codec.quantizer.quantizers):
        for parameter in level.parameters():
            parameter.zero_()
        if number:
            own = slice((number - 1) * vectors.shape[2], number * vectors.shape[2])
            level.in_proj.weight[:, own, 0].fill_diagonal_(1.0)
            level.out_proj.weight[own, :, 0].fill_diagonal_(1.0)
            level.codebook.weight.copy_(vectors[number - 1])
            level.codebook.requires_grad_(True)
    heights, phases = (codec.quantizer.quantizers[1 + column].codebook.weight for column in (HEIGHT, PHASE))
    set_and_keep(heights, (slice(None), slice(CYCLES)), heights[:, :CYCLES].clone())
    set_and_keep(phases, (slice(None), slice(1)), phases[:, :1].clone())
    set_excitation(codec.decoder, vectors.std(dim=1).flatten(), seed)


@torch.inference_mode()
def write_codes(quantizer: Quantizer, speech: Path, folder: Path, recipe: CodecRecipe) -> None:
    """Encode each utterance by itself: `NAME.npy` `[frames of the shard, K - 1]` for each shard without one."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = 0
    for shard in shards(speech, "train") + shards(speech, "held_out"):
        path = codes_path(folder, shard)
        if path.exists():
            continue
        codes = [
            quantizer.encode(
                torch.from_numpy(shard.audio(one)), shard.voice(one, recipe.hop), one.sounds, one.line.speaker, recipe
            ).numpy()
            for one in shard.utterances
        ]
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.save(file, np.concatenate(codes).astype(np.uint16))
        unfinished.replace(path)
        frames += sum(map(len, codes))
    print(f"codes: {frames} frames encoded", flush=True)


def codes_path(folder: Path, shard: Shard) -> Path:
    """Where the codes of a shard are."""
    return folder / shard.path.name


def read_codes(folder: Path, speech: Sequence[Shard]) -> list[Codes]:
    """The codes of these shards."""
    return [np.load(codes_path(folder, shard)) for shard in speech]


def with_places(codes: Codes, places: npt.NDArray[np.int64] | int = 0) -> npt.NDArray[np.int64]:
    """All codes `[T, K]` of what the quantizer gave `[T, K - 1]` and of places `[T]`, which come first."""
    return np.column_stack([np.broadcast_to(places, len(codes)), codes.astype(np.int64)])


class Crops:
    """Random crops of retimed speech and its codes, of all speakers alike.

    A crop may begin anywhere in an utterance and end in the next one of its speaker: they lie end to end.
    """

    def __init__(
        self, speech: Sequence[Shard], codes: Sequence[Codes], quantizer: Quantizer, recipe: CodecRecipe, seed: int
    ) -> None:
        self._recipe = recipe
        by_shard = dict(zip((shard.path for shard in speech), codes, strict=True))
        pieces: dict[str, list[tuple[npt.NDArray[np.float16], Codes]]] = {}
        frames = 0
        for shard, one in in_turn(speech, seed):
            own = by_shard[shard.path][one.start // recipe.hop : (one.start + one.num_samples) // recipe.hop]
            advances = quantizer.advances[own[:, HEIGHT].astype(np.int64)].double().numpy()
            moved = retimed(shard.audio(one), shard.voice(one, recipe.hop), advances, recipe.hop)
            pieces.setdefault(one.line.speaker, []).append((moved.astype(np.float16), own))
            frames += len(own)
            if frames > recipe.heard_hours * 3600 * recipe.frames_per_second:
                break
        for speaker, spoken in pieces.items():
            if sum(len(codes) for _, codes in spoken) < PHASE_LEAD + recipe.crop_frames:
                raise ConfigError(f"{speaker}: less speech than a crop of {recipe.crop_frames} frames; render more")
        self._speakers = [
            (np.concatenate([samples for samples, _ in own]), np.concatenate([codes for _, codes in own]))
            for own in pieces.values()
        ]

    def draw(self, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Samples `[B, T * hop]` and codes `[B, K, PHASE_LEAD + T]`: without those before, a phase is not known."""
        length, hop = self._recipe.crop_frames, self._recipe.hop
        samples, codes = [], []
        for speaker in chance.integers(len(self._speakers), size=self._recipe.batch):
            own_samples, own_codes = self._speakers[speaker]
            first = chance.integers(PHASE_LEAD, len(own_codes) - length + 1)
            samples.append(own_samples[first * hop : (first + length) * hop].astype(np.float32))
            codes.append(with_places(own_codes[first - PHASE_LEAD : first + length]).T)
        return torch.from_numpy(np.stack(samples)), torch.from_numpy(np.stack(codes))
