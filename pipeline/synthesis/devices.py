"""Device and precision for the settings `engine.device` and `engine.dtype`."""

from __future__ import annotations

import torch

from pipeline.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """Return the device that `engine.device` names; "auto" is the first CUDA device, else the CPU.

    Raises:
        ConfigError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"engine.device={name}: give auto, cpu, cuda, cuda:1 or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"engine.device={name}: this machine has {torch.cuda.device_count()} CUDA devices; give auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("engine.device=mps: not available on this machine; give auto or cpu")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the precision that `engine.dtype` names.

    "auto" is bfloat16 on a CUDA device with bfloat16 arithmetic (compute capability 8.0 or higher), else float32.
    """
    if name == "auto":
        has_bfloat16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if has_bfloat16 else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype
