"""Codes to samples: the codec's decoder as a stage of its own, beside the transformer.

On a CPU each clip is decoded alone and whole, on one thread, several clips side by side: a clip's samples depend on its
codes only, and no core waits for another. Knows the codec's modules, and nothing of how codes come about.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Samples = npt.NDArray[np.float32]


class Codec:
    """The decoder half of either DAC: transformers' `DacModel`, or upstream's wrapper around Descript's."""

    def __init__(self, audio_encoder: Any) -> None:
        dac = getattr(audio_encoder, "model", audio_encoder)
        self._quantizer, self._decoder = dac.quantizer, dac.decoder
        for part in (self._quantizer, self._decoder):
            _fold_weight_norm(part)
        self._device = next(self._decoder.parameters()).device

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Samples:
        """Samples of codes `[K, T]`; one sample of silence for no frame at all, like upstream."""
        if codes.shape[1] == 0:
            return np.zeros(1, dtype=np.float32)
        latents = self._quantizer.from_codes(codes[None].to(self._device))[0]
        samples: Samples = self._decoder(latents).flatten().float().cpu().numpy()
        return samples


def _fold_weight_norm(module: nn.Module) -> None:
    """Computes the weights once that weight norm computes at each call."""
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight")
