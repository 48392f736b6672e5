"""Second half of the codec: codes to samples. Spectra and phases first; then discriminators join.

Knows crops of samples with their codes, nothing of text. A crop ends without what follows it, as every clip does;
before it there are as many frames as tell where its voice is.
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
from scripts.voice.quantizer import PHASE_LEAD
from scripts.voice.recipe import CodecRecipe, Recipe
from scripts.voice.spectra import magnitudes, reconstruction_loss, wave_loss
from scripts.voice.trainer import Recorded, Training, prepared, quick_products

_FEATURE_WEIGHT = 2.0  # of the distance between what discriminators see in real and in made speech
_SPECTRUM_WEIGHT = 15.0  # of the spectra, while discriminators judge too
_WAVE_WEIGHT = 0.3  # of the difference with phases, beside that of spectra without


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
    """Judges patches of one STFT's log magnitudes as real or made."""

    def __init__(self, fft_size: int, width: int) -> None:
        super().__init__()
        self.fft_size = fft_size
        channels = [1, *[width // 8] * 4]
        self.layers = nn.ModuleList(
            nn.Conv2d(inner, outer, (9, 3), (2, 1), (4, 1)) for inner, outer in pairwise(channels)
        )
        self.last = nn.Conv2d(channels[-1], 1, 3, padding=1)

    def forward(self, samples: Tensor) -> list[Tensor]:
        """See `judged`, of samples `[B, N]`."""
        spectrum = magnitudes(samples, self.fft_size, self.fft_size // 4)
        return self.judged(spectrum.clamp(min=1e-4).log()[:, None] / 4 + 1)


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
        return self.judged(whole.reshape(len(samples), 1, -1, self.period))


class Speaking(nn.Module):
    """The codec whose decoder is trained, and the discriminators."""

    def __init__(self, codec: Any, recipe: CodecRecipe) -> None:
        super().__init__()
        self.codec = codec
        self.hop = recipe.hop
        width = recipe.discriminator_width
        self.discriminators = nn.ModuleList(
            [SpectrumJudge(size, width) for size in (256, 512, 1024)]
            + [PeriodJudge(period, width) for period in (2, 3, 5, 7, 11)]
        )

    def made(self, codes: Tensor) -> Tensor:
        """Samples `[B, T * hop]` of codes `[B, K, PHASE_LEAD + T]`: where the voice is at first, those before say."""
        samples: Tensor = self.codec.decoder(self.codec.quantizer.from_codes(codes)[0])[:, 0]
        return samples[:, PHASE_LEAD * self.hop :]


def train_codec_decoder(
    training: Training, crops: Crops, whole: Recipe, device: torch.device, workers: int = 0
) -> None:
    """Train `training.model`, a `Speaking`, to the last step; `workers` processes draw crops ahead.

    One optimizer serves both sides in the same step: the discriminators' loss reaches only them, since they judge a
    detached copy, and the codec's loss reaches only the codec, through frozen discriminators.
    """
    recipe, seed = whole.codec, whole.seed
    speaking: Any = training.model
    judges = speaking.discriminators

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return crops.draw(np.random.default_rng((seed, step)))

    drawn = prepared(draw, range(training.step, training.steps), workers)

    def spoken(samples: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        made = speaking.made(codes)  # in full precision: bfloat16 loses count of cycles
        spectrum = reconstruction_loss(made, samples, recipe.sampling_rate)
        return made, spectrum + _WAVE_WEIGHT * wave_loss(made, samples, recipe.sampling_rate)

    def compared(samples: Tensor, codes: Tensor) -> dict[str, Tensor]:
        return {"loss": spoken(samples, codes)[1]}

    def judged(samples: Tensor, codes: Tensor) -> dict[str, Tensor]:
        made, spectrum = spoken(samples, codes)
        with quick_products(device):
            both = torch.cat([samples, made.detach()])
            seen = [[layer.chunk(2) for layer in judge(both)] for judge in judges]
            judging = torch.stack([_judging(*layers[-1]) for layers in seen]).sum()
            judges.requires_grad_(False)
            convincing = [_convincing(layers, judge(made)) for layers, judge in zip(seen, judges, strict=True)]
            judges.requires_grad_(True)
        verdicts = torch.stack(convincing).sum()
        loss = _SPECTRUM_WEIGHT * spectrum + verdicts + judging
        return {"loss": loss, "spectrum": spectrum, "judging": judging, "verdicts": verdicts}

    alone, beside = (Recorded(speaking, losses) if device.type == "cuda" else losses for losses in (compared, judged))
    training.run(lambda step: (alone if step < recipe.adversarial_from else beside)(*next(drawn)))


def _judging(real: Tensor, made: Tensor) -> Tensor:
    """Hinge loss of a discriminator, of its judgements."""
    return functional.relu(1 - real.float()).mean() + functional.relu(1 + made.float()).mean()


def _convincing(seen: Sequence[Sequence[Tensor]], made: Sequence[Tensor]) -> Tensor:
    """Loss of the codec: to be judged real, and to be seen, layer by layer, as the real one is."""
    pairs = zip(seen[:-1], made[:-1], strict=True)
    features = torch.stack([functional.l1_loss(m.float(), real.detach().float()) for (real, _), m in pairs]).sum()
    return -made[-1].float().mean() + _FEATURE_WEIGHT * features
