"""The devices of this machine that a run uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.config import Config
from pipeline.synthesis import check_settings


def local_devices(config: Config) -> list[str]:
    """Return the devices to use, one for each worker: those of the config, or else all GPUs, or else the CPU."""
    if config.executor.devices != "auto":
        return list(config.executor.devices)
    if config.engine.device != "auto":
        return [config.engine.device]
    import torch  # takes seconds, and not every executor needs it

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]


def use_devices(config: Config, devices: Sequence[str]) -> Config:
    """Return the config with its devices.

    Raises:
        ConfigError: One of them is not here, or cannot work with the settings of `engine`.
    """
    for device in devices:
        check_settings(replace(config.engine, device=device))
    return replace(
        config,
        engine=replace(config.engine, device=devices[0]),
        executor=replace(config.executor, devices=list(devices)),
    )
