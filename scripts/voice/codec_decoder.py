"""Second half of the codec: codes to samples. Spectra first; then, if the recipe says so, discriminators join.

Knows crops of samples with their codes, nothing of text. A crop's edges are heard without their neighbours, as the ends
of every clip are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from scripts.voice.codec import Crops
from scripts.voice.loop import Recorded, Training, prepared, quick_products
from scripts.voice.recipe import CodecRecipe
from scripts.voice.spectra import magnitudes, reconstruction_loss

# How hard each pulls at the samples that are made, while discriminators judge too: the spectra, the judgements, and the
# distance between what discriminators see in real and in made speech.
_SPECTRUM_PULL = 1.0
_VERDICT_PULL = 1.0
_FEATURE_PULL = 2.0
_LOUDER = 10.0  # speech as it comes has a level of some -25 dBFS, and layers that start as PyTorch's do make it fainter


class Judge(nn.Module):
    """A discriminator: layers one after the other, and the judgement of what the last of them sees."""

    layers: nn.ModuleList
    last: nn.Module

    def judged(self, picture: Tensor) -> list[Tensor]:
        """What each layer sees of a picture; the last one is the judgement, above 0: real."""
        seen = [picture]
        for layer in self.layers:
            seen.append(functional.leaky_relu(layer(seen[-1]), 0.1))
        return [*seen[1:], self.last(seen[-1])]


class SpectrumJudge(Judge):
    """Judges moments of one STFT's log magnitudes as real or made: all frequencies at once, so that a CPU can."""

    def __init__(self, fft_size: int, width: int) -> None:
        super().__init__()
        self.fft_size = fft_size
        self.layers = nn.ModuleList(
            nn.Conv1d(inner, width, 5, padding=2) for inner in (fft_size // 2 + 1, width, width)
        )
        self.last = nn.Conv1d(width, 1, 3, padding=1)

    def forward(self, samples: Tensor) -> list[Tensor]:
        """See `judged`, of samples `[B, N]`."""
        spectrum = magnitudes(samples, self.fft_size, self.fft_size // 4)
        return self.judged(spectrum.clamp(min=1e-4).log() / 4 + 1)


class PeriodJudge(Judge):
    """Judges samples that lie a period apart, which spectra do not tell: the shape of each pulse of the voice."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        channels = [1, width // 8, width // 4, width // 2, width // 2]
        self.layers = nn.ModuleList(
            nn.Conv2d(inner, outer, (5, 1), (3, 1) if outer > inner else (1, 1), (2, 0))
            for inner, outer in pairwise(channels)
        )
        self.last = nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, samples: Tensor) -> list[Tensor]:
        """See `judged`, of samples `[B, N]`."""
        whole = samples[:, : samples.shape[1] // self.period * self.period]
        return self.judged(_LOUDER * whole.reshape(len(samples), 1, -1, self.period))


class Speaking(nn.Module):
    """The codec whose decoder is trained, and the discriminators."""

    def __init__(self, codec: Any, recipe: CodecRecipe) -> None:
        super().__init__()
        self.codec = codec
        width = recipe.discriminator_width
        self.discriminators = nn.ModuleList(
            [SpectrumJudge(size, width) for size in (128, 256, 512, 1024, 2048)]
            + [PeriodJudge(period, width) for period in (2, 3, 5, 7, 11)]
        )

    def made(self, codes: Tensor, kept: Tensor) -> Tensor:
        """Samples `[B, T * hop]` of codes `[B, K, T]`, of which as many codebooks are heard as `kept` says `[B]`."""
        vectors = self.codec.quantizer.from_codes(codes)[1].unflatten(1, (codes.shape[1], -1))  # [B, K, hidden, T]
        heard = torch.arange(codes.shape[1], device=kept.device) < kept[:, None]
        samples: Tensor = self.codec.decoder((vectors * heard[..., None, None]).sum(dim=1))[:, 0]
        return samples


def train_codec_decoder(
    training: Training, crops: Crops, recipe: CodecRecipe, seed: int, device: torch.device, workers: int = 0
) -> None:
    """Trains `training.model`, a `Speaking`, to the last step; `workers` processes draw crops ahead.

    One optimizer serves both sides in the same step: the discriminators' loss reaches only them, since they judge a
    detached copy, and the codec is given its gradient at the samples that it made. There each kind of loss and each
    discriminator pulls with a strength of its own choice, however large its values are: spectra, left to themselves,
    had nine tenths of the gradient, and the judges of periods less than a hundredth.

    Most crops lack their upper codebooks: what a Parler decoder draws there tells little, and fitted codebooks fade.

    Sources: the balancer of arXiv 2210.13438; the dropout of codebooks of arXiv 2306.06546.
    """
    speaking: Any = training.model
    judges = speaking.discriminators

    def draw(step: int) -> tuple[Tensor, Tensor, Tensor]:
        chance = np.random.default_rng((seed, step))
        fewest = min(recipe.fewest_codebooks, recipe.codebooks)
        return *crops.draw(chance), torch.from_numpy(chance.integers(fewest, recipe.codebooks + 1, size=recipe.batch))

    drawn = prepared(draw, range(training.step, training.steps), workers)

    def compared(samples: Tensor, codes: Tensor, kept: Tensor) -> dict[str, Tensor]:
        with quick_products(device):
            made = speaking.made(codes, kept)
        return {"loss": reconstruction_loss(made.float(), samples, recipe.sampling_rate)}

    def judged(samples: Tensor, codes: Tensor, kept: Tensor) -> dict[str, Tensor]:
        with quick_products(device):
            made = speaking.made(codes, kept)
        heard = made.detach().float().requires_grad_()
        spectrum = reconstruction_loss(heard, samples, recipe.sampling_rate)
        with quick_products(device):
            seen = [[layer.chunk(2) for layer in judge(torch.cat([samples, heard.detach()]))] for judge in judges]
            judging = torch.stack([_judging(*layers[-1]) for layers in seen]).mean()
            judges.requires_grad_(False)
            looks = [judge(heard) for judge in judges]
            judges.requires_grad_(True)
        verdicts = [-look[-1].float().mean() for look in looks]
        features = [_distance(layers, look) for layers, look in zip(seen, looks, strict=True)]
        pull = (
            _SPECTRUM_PULL * _direction([spectrum], heard)
            + _VERDICT_PULL * _direction(verdicts, heard)
            + _FEATURE_PULL * _direction(features, heard)
        )
        return {
            "loss": (made * pull).sum() + judging,
            "spectrum": spectrum,
            "judging": judging,
            "verdicts": torch.stack(verdicts).mean(),
            "features": torch.stack(features).mean(),
        }

    alone, beside = (Recorded(speaking, losses) if device.type == "cuda" else losses for losses in (compared, judged))
    training.run(lambda step: (alone if step < recipe.adversarial_from else beside)(*next(drawn)))


def _judging(real: Tensor, made: Tensor) -> Tensor:
    """Hinge loss of a discriminator, of its judgements."""
    return functional.relu(1 - real.float()).mean() + functional.relu(1 + made.float()).mean()


def _distance(seen: Sequence[Sequence[Tensor]], made: Sequence[Tensor]) -> Tensor:
    """Between what a discriminator sees, layer by layer, of real and of made speech."""
    pairs = zip(seen[:-1], made[:-1], strict=True)
    return torch.stack([functional.l1_loss(m.float(), real.detach().float()) for (real, _), m in pairs]).mean()


def _direction(losses: Sequence[Tensor], samples: Tensor) -> Tensor:
    """The gradient of losses at `samples`, as if each pulled with the same strength; of length 1."""
    pulls = [torch.autograd.grad(loss, samples, retain_graph=True)[0] for loss in losses]
    total = torch.stack([pull / pull.norm().clamp(min=1e-12) for pull in pulls]).sum(dim=0)
    direction: Tensor = total / total.norm().clamp(min=1e-12)
    return direction
