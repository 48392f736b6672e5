"""First half of the codec: speech to codes. Closed form, no gradient: it is done in a minute on a CPU.

A frame is what a listener can tell: its log mel spectrum, two of them for each frame of the codec, turned onto its main
directions. The codebooks are residual: each holds means of what the ones before leave. In the first one these are the
means of the teacher's sounds, in the others of clusters. So the first code of a frame says which sound it belongs to,
and a decoder that writes codes writes down what it says, frame by frame, and reads it again: it never loses its place.
Phases are not kept; the codec's decoder makes them up. It knows nothing of that decoder.

A DacModel reads codes as the sum of one vector from each codebook, which is what these codebooks are. It also has an
encoder, which text-to-speech never uses and which therefore stays untrained.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scripts.voice.recipe import CodecRecipe
from scripts.voice.spectra import log_mel
from scripts.voice.speech import Shard, Utterance
from scripts.voice.teachers import Sound

_BANDS = 80
_MELS_IN_FRAME = 2
_FFT = 1024


@dataclass(frozen=True)
class Quantizer:
    """Fitted directions and codebooks."""

    mean: Tensor  # [bands * mels in a frame]
    directions: Tensor  # [hidden, bands * mels in a frame], orthonormal rows
    codebooks: Tensor  # [K - 1, codes, hidden]: those of the codec without the silent one
    classes: list[str]  # of the first of them, by code

    def to(self, device: torch.device) -> Quantizer:
        """The same on another device."""
        return Quantizer(self.mean.to(device), self.directions.to(device), self.codebooks.to(device), self.classes)

    @property
    def spread(self) -> Tensor:
        """Standard deviation of latents `[hidden]`, of codes drawn evenly."""
        return self.codebooks.var(dim=1).sum(dim=0).sqrt()

    @cached_property
    def _code_of_class(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.classes)}

    def encode(self, samples: Tensor, sounds: Sequence[Sound], recipe: CodecRecipe) -> Tensor:
        """Codes `[T, K - 1]` of samples `[T * hop]`, in which these sounds are heard."""
        rest = self.frames(samples, recipe)
        known = [self._code_of_class.get(name, -1) for name in classes_of(sounds)]
        first = torch.tensor(known, device=rest.device)
        if (first < 0).any():  # a class too rare to have a code
            first = torch.where(first < 0, _nearest(rest, self.codebooks[0, : len(self.classes)]), first)
        codes = [first]
        rest = rest - self.codebooks[0, first]
        for codebook in self.codebooks[1:]:
            codes.append(_nearest(rest, codebook))
            rest = rest - codebook[codes[-1]]
        return torch.stack(codes, dim=1)

    def frames(self, samples: Tensor, recipe: CodecRecipe) -> Tensor:
        """What codes are to stand for, `[T, hidden]`, of samples `[T * hop]`."""
        return (spectra(samples, recipe) - self.mean) @ self.directions.T

    def latents(self, codes: Tensor) -> Tensor:
        """The frames `[T, hidden]` that codes `[T, K - 1]` stand for; spectra are `latents @ directions + mean`."""
        return torch.stack([book[row] for book, row in zip(self.codebooks, codes.T, strict=True)]).sum(dim=0)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def classes_of(sounds: Sequence[Sound]) -> list[str]:
    """For each frame its sound, and whether it begins (B) it, ends (E) it, does both (S) or neither (M)."""
    classes = []
    for sound in sounds:
        places = "S" if sound.frames == 1 else "B" + "M" * (sound.frames - 2) + "E"
        classes += [sound.name + place for place in places[: sound.frames]]
    return classes


def spectra(samples: Tensor, recipe: CodecRecipe) -> Tensor:
    """Log mels of samples `[T * hop]`: `[T, bands * mels in a frame]`."""
    mel = log_mel(samples[None], recipe.sampling_rate, _FFT, recipe.hop // _MELS_IN_FRAME, _BANDS)[0, :, :-1]
    return mel.T.reshape(-1, _BANDS * _MELS_IN_FRAME)


def fit(
    speech: Sequence[Shard], recipe: CodecRecipe, seed: int, device: torch.device, basis: Quantizer | None = None
) -> Quantizer:
    """Fits the quantizer to frames of utterances drawn from `speech`, and prints what it can tell.

    With a `basis` mean and directions are taken from there: its latents mean the same spectra, and a decoder that was
    trained on them has nothing to unlearn.
    """
    began = time.monotonic()
    pieces, names = zip(*_sample(speech, recipe, seed), strict=True)
    frames = torch.cat(pieces).to(device)
    if basis is None:
        mean = frames.mean(dim=0)
        directions = torch.linalg.eigh((frames - mean).T @ (frames - mean)).eigenvectors.T.flip(0)[: recipe.hidden]
    else:
        mean, directions = basis.mean.to(device), basis.directions.to(device)
    rest = (frames - mean) @ directions.T
    generator = torch.Generator().manual_seed(seed)
    lost = [mean_error(frames - mean - rest @ directions)]
    classes, first, codebook = _class_means(rest, [name for piece in names for name in piece], recipe.codebook_size)
    codebooks, bits = [codebook], [_entropy(torch.bincount(first, minlength=recipe.codebook_size))]
    rest = rest - codebook[first]
    lost.append(mean_error(rest))
    for _ in range(recipe.codebooks - 2):
        codebook = _clusters(rest, recipe.codebook_size, generator)
        nearest = _nearest(rest, codebook)
        rest = rest - codebook[nearest]
        codebooks.append(codebook)
        lost.append(mean_error(rest))
        bits.append(_entropy(torch.bincount(nearest, minlength=recipe.codebook_size)))
    variance = mean_error(frames - mean)
    elapsed = time.monotonic() - began
    print(
        f"quantizer: {len(frames)} frames, {len(classes)} classes of sounds, in {elapsed:.0f} s; "
        f"variance {variance:.3f}, "
        f"lost to directions {lost[0]:.3f}, left by each codebook {_listed(lost[1:])}, bits of each {_listed(bits)}",
        flush=True,
    )
    return Quantizer(mean, directions, torch.stack(codebooks), classes)


def _class_means(points: Tensor, names: Sequence[str], most: int) -> tuple[list[str], Tensor, Tensor]:
    """The most frequent classes, the code of each point `[N]`, and the codebook `[most, hidden]`."""
    classes = [name for name, _ in Counter(names).most_common(most)]
    code_of_class = {name: code for code, name in enumerate(classes)}
    codes = torch.tensor([code_of_class.get(name, -1) for name in names], device=points.device)
    known = codes >= 0
    codebook = points.new_zeros(most, points.shape[1]).index_add_(0, codes[known], points[known])
    codebook /= torch.bincount(codes[known], minlength=most).clamp(min=1)[:, None]
    return classes, torch.where(known, codes, _nearest(points, codebook[: len(classes)])), codebook


def _sample(speech: Sequence[Shard], recipe: CodecRecipe, seed: int) -> Iterator[tuple[Tensor, list[str]]]:
    """Spectra and classes of utterances, until there are enough frames."""
    count = 0
    for shard, utterance in in_turn(speech, seed):
        yield spectra(torch.from_numpy(shard.audio(utterance)), recipe), classes_of(utterance.sounds)
        count += utterance.num_samples // recipe.hop
        if count >= recipe.quantizer_frames:
            return


def in_turn(speech: Sequence[Shard], seed: int) -> Iterator[tuple[Shard, Utterance]]:
    """All utterances, one of each speaker after the other as long as they have some, of each in a random order."""
    by_speaker: dict[str, list[tuple[Shard, Utterance]]] = {}
    for shard in speech:
        for utterance in shard.utterances:
            by_speaker.setdefault(utterance.line.speaker, []).append((shard, utterance))
    chance = np.random.default_rng(seed)
    for utterances in by_speaker.values():
        chance.shuffle(utterances)
    return filter(None, chain.from_iterable(zip_longest(*by_speaker.values())))


def _clusters(points: Tensor, number: int, generator: torch.Generator, rounds: int = 20) -> Tensor:
    """Means of clusters of `points` `[N, hidden]`; a cluster without points starts anew on one of them."""
    centres = points[torch.randperm(len(points), generator=generator)[:number].to(points.device)].clone()
    for _ in range(rounds):
        nearest = _nearest(points, centres)
        sizes = torch.bincount(nearest, minlength=number)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        others = points[torch.randint(len(points), (number,), generator=generator).to(points.device)]
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), others)
    return centres


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Index of the nearest centre for each point, some thousand points at a time to bound memory."""
    squares = (centres**2).sum(dim=1)
    blocks = [(squares - 2 * block @ centres.T).argmin(dim=1) for block in torch.split(points, 16_384)]
    return torch.cat(blocks)


def mean_error(rest: Tensor) -> float:
    """Mean over frames of the squared error of a mel value."""
    return float((rest**2).sum(dim=1).mean()) / (_BANDS * _MELS_IN_FRAME)


def _entropy(counts: Tensor) -> float:
    shares = counts / counts.sum()
    return float(-(shares * shares.clamp(min=1e-12).log2()).sum())


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)
