"""Mel and STFT spectra, and the losses made of them. Knows nothing of codecs."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_FLOOR = 1e-4
_HIGHEST_PULSES = 3_000.0  # Hz


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)  # who asks first may train nothing, who asks next may
def mel_filters(sampling_rate: int, fft_size: int, bands: int, device: torch.device) -> Tensor:
    """Triangles on the mel scale from 0 to half the sampling rate, each with a peak of 1: `[bands, fft_size/2 + 1]`."""
    top = 2595 * torch.log10(torch.tensor(1 + sampling_rate / 2 / 700))
    corners = 700 * (10 ** (torch.linspace(0, float(top), bands + 2) / 2595) - 1)
    frequencies = torch.linspace(0, sampling_rate / 2, fft_size // 2 + 1)
    rising = (frequencies - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - frequencies) / (corners[2:] - corners[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).to(device)


def magnitudes(samples: Tensor, fft_size: int, hop: int) -> Tensor:
    """STFT magnitudes of `[B, N]`: `[B, fft_size/2 + 1, N/hop + 1]`; a full-scale sine is near 1."""
    window = torch.hann_window(fft_size, device=samples.device)
    spectrum = torch.stft(samples, fft_size, hop, window=window, return_complex=True, pad_mode="constant")
    power: Tensor = spectrum.real**2 + spectrum.imag**2
    return (power + 1e-9).sqrt() * (2 / window.sum())


def log_mel(samples: Tensor, sampling_rate: int, fft_size: int, hop: int, bands: int) -> Tensor:
    """Natural logarithm of the mel magnitudes, floored: `[B, bands, N/hop + 1]`."""
    filters = mel_filters(sampling_rate, fft_size, bands, samples.device)
    return (filters @ magnitudes(samples, fft_size, hop)).clamp(min=_FLOOR).log()


def reconstruction_loss(made: Tensor, real: Tensor, sampling_rate: int) -> Tensor:
    """Distance of two signals `[B, N]` by what is heard: log mels and STFT magnitudes in several resolutions.

    Phases are free.
    """
    loss = made.new_zeros(())
    for fft_size, bands in ((128, 10), (256, 20), (512, 40), (1024, 80), (2048, 128)):
        made_magnitudes, real_magnitudes = (magnitudes(x, fft_size, fft_size // 4) for x in (made, real))
        filters = mel_filters(sampling_rate, fft_size, bands, made.device)
        made_mel, real_mel = ((filters @ x).clamp(min=_FLOOR).log() for x in (made_magnitudes, real_magnitudes))
        loss = loss + (made_mel - real_mel).abs().mean()
        difference = (made_magnitudes - real_magnitudes).flatten(1).norm(dim=1)
        loss = loss + (difference / real_magnitudes.flatten(1).norm(dim=1).clamp(min=0.1)).mean()
    return loss / 5


def wave_loss(made: Tensor, real: Tensor, sampling_rate: int) -> Tensor:
    """Distance of two signals `[B, N]` with their phases, as far up as a voice is pulses rather than noise."""
    loss = made.new_zeros(())
    for fft_size in (256, 1024):
        window = torch.hann_window(fft_size, device=made.device)
        stft = torch.stft(
            torch.cat([made, real]), fft_size, fft_size // 4, window=window, return_complex=True, pad_mode="constant"
        )
        ours, theirs = torch.view_as_real(stft[:, : int(_HIGHEST_PULSES / sampling_rate * fft_size)]).chunk(2)
        loss = loss + (ours - theirs).abs().mean() / theirs.abs().mean().clamp(min=1e-4)
    return loss / 2
