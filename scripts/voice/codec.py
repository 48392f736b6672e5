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

from scripts.voice.quantizer import Quantizer
from scripts.voice.recipe import CodecRecipe
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
def set_codebooks(codec: Any, vectors: Tensor) -> None:
    """Sets what codes stand for, `[K - 1, codes, hidden]`. It is trained with the decoder, and nothing else beside it.

    The first codebook is silent: whatever the decoder notes there adds nothing to a frame.
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


def vectors_of(codec: Any) -> Tensor:
    """What the codes of `codec` stand for, `[K - 1, codes, hidden]`."""
    return torch.stack([level.codebook.weight.detach() for level in codec.quantizer.quantizers][1:])


@torch.inference_mode()
def write_codes(quantizer: Quantizer, speech: Path, folder: Path, recipe: CodecRecipe) -> None:
    """Encodes each utterance by itself: `NAME.npy` `[frames of the shard, K - 1]` for each shard without one."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = 0
    for shard in shards(speech, "train") + shards(speech, "held_out"):
        path = codes_path(folder, shard)
        if path.exists():
            continue
        codes = [
            quantizer.encode(torch.from_numpy(shard.audio(one)), one.sounds, one.line.speaker, recipe).numpy()
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
    """Random crops of speech and its codes, of all speakers alike.

    A crop may begin anywhere in an utterance and end in the next one: they lie end to end in a shard.
    """

    def __init__(self, speech: Sequence[Shard], codes: Sequence[Codes], recipe: CodecRecipe) -> None:
        self._shards = speech
        self._codes = codes
        self._recipe = recipe
        places: dict[str, list[tuple[int, int, int]]] = {}
        for index, shard in enumerate(speech):
            for utterance in shard.utterances:
                first, length = utterance.start // recipe.hop, utterance.num_samples // recipe.hop
                places.setdefault(utterance.line.speaker, []).append((index, first, length))
        # Of each speaker the shard, first frame and number of frames of each utterance `[utterances, 3]`.
        self._places = [np.array(of_speaker) for of_speaker in places.values()]
        self._ends = [of_speaker[:, 2].cumsum() for of_speaker in self._places]

    def draw(self, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Samples `[B, T * hop]` and codes `[B, K, T]`."""
        length, hop = self._recipe.crop_frames, self._recipe.hop
        samples, codes = [], []
        for speaker in chance.integers(len(self._places), size=self._recipe.batch):
            ends = self._ends[speaker]
            frame = chance.integers(ends[-1])  # of all that this speaker says
            utterance = np.searchsorted(ends, frame, side="right")
            index, start, count = self._places[speaker][utterance]
            first = min(start + count - (ends[utterance] - frame), len(self._codes[index]) - length)
            cut = self._shards[index].samples[first * hop : (first + length) * hop]
            samples.append(cut.astype(np.float32) / 32768)
            codes.append(with_places(self._codes[index][first : first + length]).T)
        return torch.from_numpy(np.stack(samples)), torch.from_numpy(np.stack(codes))
