"""First half of the codec: speech to codes. Closed form, no gradient: it is done in a minute on a CPU.

What is said, by whom, how high and how loud: with that the sound of a frame is all but certain, if the frames around it
are known too, and a voice that has no chance to waver does not. So the codes of a frame are, after its place in the
text, the sound that the teacher speaks there, one of the heights of the speaker, a loudness, and a phase of the voice;
height and loudness for both halves of the frame. A decoder that writes sounds writes down what it says, frame by frame,
and reads it again: it never loses its place. Spectra are not kept; the codec's decoder makes them up. It knows nothing
of that decoder.

**Phases.** Convolutions know no time: from heights alone a codec cannot tell where the pulses of a voice are to be, and
where codes stay alike it would repeat itself frame by frame. So they are counted by whoever writes codes. The voice of
each height goes on by a whole number of steps in a frame, `PHASES` of which make a cycle (at 40 frames/s as many as it
has hertz), and begins at step 0 wherever there was none. What is noted with a frame is where the voice will be at the
beginning of the frame after the next, so that a Parler decoder, whose last codebook comes latest, finds all that it has
to add in a single place: the code before, and the height of the frame between. Of the first two frames nothing is
noted, so that the first one never has a voice.

A DacModel reads codes as vectors, one from each codebook, which are trained with its decoder. It also has an encoder,
which text-to-speech never uses and which therefore stays untrained.
"""

from __future__ import annotations

import math
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
from torch.nn import functional

from scripts.voice.recipe import CodecRecipe
from scripts.voice.spectra import log_mel
from scripts.voice.speech import Shard, Utterance
from scripts.voice.teachers import FRAME_SECONDS, HALVES, Sound, Voice

_BANDS = 80
_FFT = 1024
_MIDDLE = 180.0  # Hz
_VOICE = 4.0  # octaves that a voice and none are apart
_LOUD, _LOUDNESS = -4.5, 3.0  # mean and spread of logarithms, about
SOUND, HEIGHT, LOUDNESS, PHASE = range(4)  # columns of codes; the place in the text comes before them
PHASES = 40  # steps of a cycle
CYCLES = 3  # numbers in the vector of a height that count cycles
PHASE_LEAD = PHASE - HEIGHT  # frames by which a phase is noted ahead: by so much its codebook comes later
_TURNS = 3.0  # radians, about, that a codebook's vectors differ by over all that they stand for


@dataclass(frozen=True)
class Quantizer:
    """Which codes there are, and what they stand for."""

    classes: list[str]  # of sounds, by code
    speakers: list[str]
    heights: Tensor  # [speakers, heights of each, 2 * halves]: see `heights_of`; each one's first is to have no voice
    loudness: Tensor  # [codes, halves]: see `_loudness`

    def encode(
        self, samples: Tensor, voice: Voice, sounds: Sequence[Sound], speaker: str, recipe: CodecRecipe
    ) -> Tensor:
        """Codes `[T, K - 1]` of samples `[T * hop]`, in which `speaker` speaks these sounds with this voice."""
        known = torch.tensor([self._code_of(name) for name in classes_of(sounds)])
        heights = self.heights[self.speakers.index(speaker)]
        height = _nearest(heights_of(voice), heights)
        height[:1] = 0
        height += self.speakers.index(speaker) * len(heights)
        loudness = _nearest(_loudness(samples, recipe), self.loudness)
        phases = self.phases(height)
        ahead = functional.pad(phases[PHASE_LEAD:], (0, PHASE_LEAD - 1))
        return torch.stack([known, height, loudness, ahead], dim=1)

    def phases(self, heights: Tensor) -> Tensor:
        """Steps of a cycle at the beginning of each frame, and of the one after, of these codes: `[T + 1]`."""
        steps = self.advances.sum(dim=1).mul(PHASES).round().long()[heights].tolist()
        phases = [0]
        for step in steps:
            phases.append((phases[-1] + step) % PHASES if step else 0)
        return torch.tensor(phases)

    @cached_property
    def advances(self) -> Tensor:
        """Cycles in both halves of a frame by code of its height, a whole number of steps in both: `[codes, halves]`.

        Zeros where there is no voice.
        """
        points = self.heights.flatten(0, 1)
        cycles = _MIDDLE * points[:, :HALVES].exp2() * FRAME_SECONDS / HALVES
        total = cycles.sum(dim=1, keepdim=True)
        whole = (total * PHASES).round().clamp(min=1) / PHASES
        return torch.where(points[:, HALVES:].any(dim=1, keepdim=True), cycles * whole / total, 0.0)

    def vectors(self, hidden: int, seed: int) -> Tensor:
        """What the codec's codebooks start from, `[K - 1, codes, hidden]`: what is alike has like vectors.

        The first `CYCLES` numbers of a height are cycles in its halves, and of the first what is no whole number; the
        first number of a phase is its cycles. They are to stay so.
        """
        generator = torch.Generator().manual_seed(seed)
        size = len(self.loudness)
        names = 0.7 * torch.randn(size, hidden, generator=generator)
        speakers = _VOICE * torch.eye(len(self.speakers)).repeat_interleave(self.heights.shape[1], dim=0)
        heights = torch.cat([self.heights.flatten(0, 1), speakers], dim=1)
        heights = functional.pad(heights, (0, 0, 0, size - len(heights)))  # codes that no speaker has
        tables = [names, *(_waves(points, hidden, generator) for points in (heights, self.loudness))]
        vectors = torch.stack([*tables, torch.zeros(size, hidden)])
        first = self.advances[:, :1]
        vectors[HEIGHT, :, :CYCLES] = 0.0  # of codes that no speaker has
        vectors[HEIGHT, : len(self.advances), :CYCLES] = torch.cat([self.advances, first - first.floor()], dim=1)
        vectors[PHASE, :PHASES, 0] = torch.arange(PHASES) / PHASES
        return vectors

    def _code_of(self, name: str) -> int:
        """Of a class of sounds; of one without a code that of its likes, or the most frequent one."""
        if name in self._codes:
            return self._codes[name]
        return next((code for code, known in enumerate(self.classes) if known[:-1] == name[:-1]), 0)

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.classes)}

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


def heights_of(voice: Voice) -> Tensor:
    """Octaves of both halves of each frame, and whether they have a voice: `[T, 2 * halves]`.

    A half without one is as high as the other; a frame without one is nothing but zeros.
    """
    hertz = torch.from_numpy(voice.hertz).view(-1, HALVES)
    has_voice = hertz > 0
    hertz = torch.where(has_voice, hertz, hertz.flip(1))
    octaves = torch.where(hertz > 0, (hertz.clamp(min=1.0) / _MIDDLE).log2(), 0.0)
    return torch.cat([octaves, _VOICE * has_voice], dim=1)


def _loudness(samples: Tensor, recipe: CodecRecipe) -> Tensor:
    """Mean log mels of both halves of each frame, `[T, halves]`, of a spread of about 1."""
    mel = log_mel(samples[None], recipe.sampling_rate, _FFT, recipe.hop // HALVES, _BANDS)[0, :, :-1]
    return ((mel.mean(dim=0) - _LOUD) / _LOUDNESS).view(-1, HALVES)


def _waves(points: Tensor, hidden: int, generator: torch.Generator) -> Tensor:
    """Vectors `[N, hidden]` of points `[N, dimensions]`: near ones have like vectors, far ones have not."""
    directions = _TURNS * torch.randn(points.shape[1], hidden, generator=generator)
    return (points @ directions + 2 * math.pi * torch.rand(hidden, generator=generator)).sin()


def fit(speech: Sequence[Shard], recipe: CodecRecipe, seed: int) -> Quantizer:
    """Fit heights and loudness to frames of utterances drawn from `speech`, and print how near codes come."""
    began = time.monotonic()
    utterances = [utterance for shard in speech for utterance in shard.utterances]
    names = Counter(name for utterance in utterances for name in classes_of(utterance.sounds))
    speakers = sorted({utterance.line.speaker for utterance in utterances})
    heights: dict[str, list[Tensor]] = {speaker: [] for speaker in speakers}
    loudness: list[Tensor] = []
    count = 0
    for shard, utterance in in_turn(speech, seed):
        samples = torch.from_numpy(shard.audio(utterance))
        heights[utterance.line.speaker].append(heights_of(shard.voice(utterance, recipe.hop)))
        loudness.append(_loudness(samples, recipe))
        count += len(loudness[-1])
        if count >= recipe.quantizer_frames:
            break
    generator = torch.Generator().manual_seed(seed)
    share = recipe.codebook_size // len(speakers)
    quantizer = Quantizer(
        [name for name, _ in names.most_common(recipe.codebook_size)],
        speakers,
        torch.stack([_heights_of_one(torch.cat(heights[speaker]), share, generator) for speaker in speakers]),
        _clusters(torch.cat(loudness), recipe.codebook_size, generator),
    )
    off = [
        (points - table[_nearest(points, table)])[points[:, HALVES:].bool().all(dim=1), :HALVES].square()
        for points, table in zip(map(torch.cat, heights.values()), quantizer.heights, strict=True)
    ]
    rest = torch.cat(loudness) - quantizer.loudness[_nearest(torch.cat(loudness), quantizer.loudness)]
    semitones = 12 * float(torch.cat([*off, torch.zeros(1, HALVES)]).mean().sqrt())  # even if nobody has a voice
    decibels = _LOUDNESS * 20 / math.log(10) * float(rest.square().mean().sqrt())
    print(
        f"quantizer: {count} frames, {len(quantizer.classes)} classes of sounds, {len(speakers)} speakers, in "
        f"{time.monotonic() - began:.0f} s; codes are off by {semitones:.2f} semitones and {decibels:.1f} dB",
        flush=True,
    )
    return quantizer


def _heights_of_one(points: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A speaker's heights `[size, 2 * halves]`, the first of which is to have no voice."""
    voiced = points[points[:, HALVES:].any(dim=1)]
    clusters = _clusters(voiced, size - 1, generator) if len(voiced) else points.new_zeros(size - 1, points.shape[1])
    return torch.cat([points.new_zeros(1, points.shape[1]), clusters])


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
    """Means of clusters of `points` `[N, dimensions]`; a cluster without points starts anew on one of them."""
    centres = points[torch.randint(len(points), (number,), generator=generator)].clone()
    for _ in range(rounds):
        nearest = _nearest(points, centres)
        sizes = torch.bincount(nearest, minlength=number)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        others = points[torch.randint(len(points), (number,), generator=generator)]
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), others)
    return centres


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Index of the nearest centre for each point, some thousand points at a time to bound memory."""
    squares = (centres**2).sum(dim=1)
    blocks = [(squares - 2 * block @ centres.T).argmin(dim=1) for block in torch.split(points, 16_384)]
    return torch.cat(blocks)
